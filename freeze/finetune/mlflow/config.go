package mlflow

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config says where the server is and who speaks.
type Config struct {
	URI                string        // http:// or https://
	Username, Password string        // basic authentication, unless Token is set
	Token              string        // bearer authentication
	Experiment         string        // made where it is missing
	Timeout            time.Duration // of a request with its repetitions, 5 s unless set; files have a second more for each MB
}

// FromEnvironment reads what MLflow's own clients read, MLFLOW_TRACKING_URI
// and so on, through getenv. ok is false where no server is named.
func FromEnvironment(getenv func(string) string) (c Config, ok bool) {
	c = Config{URI: getenv("MLFLOW_TRACKING_URI"), Username: getenv("MLFLOW_TRACKING_USERNAME"), Password: getenv("MLFLOW_TRACKING_PASSWORD"),
		Token: strings.TrimSpace(getenv("MLFLOW_TRACKING_TOKEN")), Experiment: getenv("MLFLOW_EXPERIMENT_NAME")}
	return c, c.URI != ""
}

// client is the way to the server. The address that it keeps names nobody: who
// speaks is said in a header.
func (c Config) client() (*client, error) {
	u, err := url.Parse(c.URI)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("tracking address %q: want one of http:// or https://", withoutSecrets(c.URI))
	}
	if u.User != nil && c.Username == "" {
		c.Username = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	base := url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}
	return newClient(&base, c), nil
}

// withoutSecrets is an address without what may be a password or a token: all
// before the last @, and all from a ? on.
func withoutSecrets(address string) string {
	if i := strings.LastIndex(address, "@"); i >= 0 {
		scheme := ""
		if k := strings.Index(address[:i], "://"); k >= 0 {
			scheme = address[:k+3]
		}
		address = scheme + "***@" + address[i+1:]
	}
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		address = address[:i] + "?***"
	}
	return address[:min(len(address), 200)]
}
