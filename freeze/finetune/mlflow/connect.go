package mlflow

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/config/credentials"
	"github.com/databricks/databricks-sdk-go/service/ml"
)

// connect makes the library's client for a server that need not be Databricks:
// nothing of the machine's settings for Databricks is read.
func (c Config) connect() (*ml.ExperimentsAPI, error) {
	u, err := url.Parse(c.URI)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("tracking address %q: want one of http:// or https://", c.URI)
	}
	if u.User != nil && c.Username == "" {
		c.Username = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	seconds := max(1, int(c.Timeout/time.Second))
	connected, err := client.New(&config.Config{
		Host:                 u.Scheme + "://" + u.Host,
		Credentials:          login(c.authorization()),
		Loaders:              []config.Loader{noSettings{}},
		HostMetadataResolver: func(context.Context, string) (*config.HostMetadata, error) { return nil, nil },
		HTTPTransport:        under(strings.TrimRight(u.Path, "/")),
		HTTPTimeoutSeconds:   seconds,
		RetryTimeoutSeconds:  seconds,
	})
	if err != nil {
		return nil, err
	}
	return ml.NewExperiments(connected), nil
}

func (c Config) authorization() string {
	switch {
	case c.Token != "":
		return "Bearer " + c.Token
	case c.Username != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
	}
	return ""
}

// noSettings takes the place of the environment's and files' settings.
type noSettings struct{}

func (noSettings) Name() string                   { return "none" }
func (noSettings) Configure(*config.Config) error { return nil }

// login is an Authorization header, or none.
type login string

func (login) Name() string { return "mlflow" }

func (l login) Configure(context.Context, *config.Config) (credentials.CredentialsProvider, error) {
	return credentials.NewCredentialsProvider(func(r *http.Request) error {
		if l != "" {
			r.Header.Set("Authorization", string(l))
		}
		return nil
	}), nil
}

// under is the path that a server's API begins at, which the library drops.
type under string

func (u under) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Path = string(u) + r.URL.Path
	return http.DefaultTransport.RoundTrip(r)
}
