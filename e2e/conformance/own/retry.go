package own

import (
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"sigs.k8s.io/gateway-api/conformance/utils/http"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
)

// rounds is how often each case of a retry has to end as it should.
const rounds = 3

// anyError are what an error may be where the specification does not say which.
var anyError = []int{500, 502, 503, 504}

// retryCase is a request whose first tries go wrong at the backend, of which there is one pod: it counts tries.
type retryCase struct {
	name string
	// path picks the rule of the HTTPRoute; below /retry/ the backend lets tries go wrong.
	path string
	// failures is how many tries go wrong before one is answered with 200.
	failures int
	// failure is how they go wrong, in the backend's words. Nothing: the connection is reset.
	failure url.Values
	// want are the statuses that the client may get.
	want []int
	// least and most bound the time that the answer may take; 0: nothing does.
	least, most time.Duration
}

// retryServed waits until each rule of the cases is served.
func (c client) retryServed(t *testing.T, cases []retryCase) {
	t.Helper()
	for _, one := range cases {
		c.served(t, retryCase{path: one.path, want: []int{200}}.request())
	}
}

// retries asks for each case several times, one request at a time.
func (c client) retries(t *testing.T, cases []retryCase) {
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			for round := range rounds {
				c.drain(t)
				if err := c.retry(t, one); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			}
		})
	}
}

// drain waits until the backend has done with earlier tries: it simulates one failure after the other, and goes on with
// one of which the Gateway has thought better.
func (c client) drain(t *testing.T) {
	t.Helper()
	if _, err := c.ask(t, retryCase{path: "/retry/plain", want: []int{200}}.request()); err != nil {
		t.Errorf("a request without failures: %v", err)
	}
}

// retry asks once.
func (c client) retry(t *testing.T, one retryCase) error {
	t.Helper()
	took, err := c.ask(t, one.request())
	switch {
	case err != nil:
		return fmt.Errorf("%w, after %v", err, took)
	case took < one.least:
		return fmt.Errorf("answered after %v, which is before %v", took, one.least)
	case one.most != 0 && took > one.most:
		return fmt.Errorf("answered after %v, which is later than %v", took, one.most)
	}
	return nil
}

// request has an identity of its own, by which the backend counts the tries.
func (r retryCase) request() http.ExpectedResponse {
	query := url.Values{"uuid": {uuid.NewString()}, "succeedAfter": {strconv.Itoa(r.failures)}}
	for name, values := range r.failure {
		query[name] = values
	}
	return http.ExpectedResponse{
		Request:  http.Request{Path: r.path + "?" + query.Encode()},
		Response: http.Response{StatusCodes: r.want},
		Backend:  suite.InfraBackendServiceNameV3,
	}
}
