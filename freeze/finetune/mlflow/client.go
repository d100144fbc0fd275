package mlflow

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// client asks the server, again where it was not to be had.
type client struct {
	base                      *url.URL
	http                      *http.Client
	username, password, token string
	timeout                   time.Duration // of a request with its repetitions
}

func newClient(base *url.URL, c Config) *client {
	return &client{base: base, username: c.Username, password: c.Password, token: c.Token, timeout: cmp.Or(c.Timeout, 5*time.Second),
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// What is read of an answer, and of what it says of an error.
const (
	mostReply   = 1 << 20
	mostMessage = 300
)

// refused is an answer other than 200.
type refused struct {
	status        int
	code, message string
}

func (e *refused) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.message) }

// resourceMissing and resourceThere are MLflow's codes for what is and is not there.
const (
	resourceMissing = "RESOURCE_DOES_NOT_EXIST"
	resourceThere   = "RESOURCE_ALREADY_EXISTS"
)

func hasCode(err error, code string) bool {
	var r *refused
	return errors.As(err, &r) && r.code == code
}

// call makes one call of the REST API: in is what it says, as JSON or, of a GET,
// as a query; out, if any, takes the answer.
func (c *client) call(ctx context.Context, method, name string, in, out any) error {
	at := c.base.JoinPath("api/2.0/mlflow", name)
	var body []byte
	if query, ok := in.(url.Values); ok {
		at.RawQuery = query.Encode()
	} else {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("mlflow: %s: %w", name, err)
		}
	}
	answer, err := c.repeat(ctx, c.timeout, func(ctx context.Context) ([]byte, error) {
		return c.send(ctx, method, at, "application/json", bytes.NewReader(body), int64(len(body)))
	})
	if err == nil && out != nil {
		if err = json.Unmarshal(answer, out); err != nil {
			err = errors.New("the answer is not MLflow's: is this address a tracking server?")
		}
	}
	if err != nil {
		return fmt.Errorf("mlflow: %s: %w", name, err)
	}
	return nil
}

// repeat asks until it is answered, or the time is over.
func (c *client) repeat(ctx context.Context, timeout time.Duration, ask func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		answer, err := ask(ctx)
		if err == nil || !passing(err) {
			return answer, err
		}
		if last == nil || ctx.Err() == nil { // else it only says that the time is over
			last = err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, last
		}
	}
}

// unreached is an error on the way to the server or back.
type unreached struct{ error }

func (e unreached) Unwrap() error { return e.error }

// passing tells errors that may be over soon.
func passing(err error) bool {
	switch e := err.(type) {
	case unreached:
		return true
	case *refused:
		return slices.Contains([]int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, e.status)
	}
	return false
}

var errTooLong = fmt.Errorf("the answer is longer than %d bytes", mostReply)

// send sends one request and returns the answer.
func (c *client) send(ctx context.Context, method string, at *url.URL, kind string, body io.Reader, length int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = length
	if length == 0 {
		r.Body = http.NoBody
	}
	r.Header.Set("Content-Type", kind)
	switch {
	case c.token != "":
		r.Header.Set("Authorization", "Bearer "+c.token)
	case c.username != "":
		r.SetBasicAuth(c.username, c.password)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // which repeats the address
			err = wrapped.Err
		}
		return nil, unreached{err}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostReply+1))
	switch {
	case answer.StatusCode != http.StatusOK:
		return nil, refusal(answer, text)
	case err != nil:
		return nil, unreached{err}
	case len(text) > mostReply:
		return nil, errTooLong
	}
	return text, nil
}

// refusal words an answer other than 200.
func refusal(answer *http.Response, text []byte) error {
	e := &refused{status: answer.StatusCode}
	var said struct {
		Code    string `json:"error_code"`
		Message string
	}
	if json.Unmarshal(text, &said) == nil {
		e.code, e.message = said.Code, oneLine(said.Message)
	}
	if to, err := answer.Location(); err == nil {
		e.message = fmt.Sprintf("it sends on to %s://%s: name that address", to.Scheme, oneLine(to.Host))
	}
	e.message = cmp.Or(e.message, http.StatusText(e.status), "no reason given")
	return e
}

// oneLine cuts a server's words and takes out what could move a terminal's cursor.
func oneLine(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), mostMessage)], "")
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text)
}
