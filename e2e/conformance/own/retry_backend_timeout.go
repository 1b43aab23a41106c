package own

import (
	"net/url"
	"testing"
	"time"

	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

var httpRouteRetryBackendTimeout = suite.ConformanceTest{
	ShortName: "HTTPRouteRetryBackendTimeout",
	Description: "A try that reaches the backendRequest timeout is made again as often as attempts says, whatever codes " +
		"are named; the request timeout ends them all.",
	Manifests: []string{"manifests/retry-backend-timeout.yaml"},
	Features: []features.FeatureName{
		features.SupportGateway,
		features.SupportHTTPRoute,
		features.SupportHTTPRouteRetry,
		features.SupportHTTPRouteBackendTimeout,
		features.SupportHTTPRouteRequestTimeout,
		features.SupportHTTPRouteRetryBackendTimeout,
	},
	Test: func(t *testing.T, s *suite.ConformanceTestSuite) {
		c := accepted(t, s, "own-retry-backend-timeout")
		cases := retryBackendTimeoutCases()
		c.retryServed(t, cases)
		c.retries(t, cases)
	},
}

// The rules' backendRequest is 800ms. The backend holds a failing try for longer, and the next one until that has
// ended: the hold must be less than twice the timeout, or one failure would make two tries late.
func retryBackendTimeoutCases() []retryCase {
	const timeout = 800 * time.Millisecond
	late := url.Values{"delayRetry": {"1050ms"}}
	// Every try, be it the first or the last; not below /retry/, where one would wait for the other.
	always := url.Values{"delay": {"9s"}}
	return []retryCase{{
		name: "one late try, and the second is answered",
		path: "/retry/attempts-2", failures: 1, failure: late, want: []int{200}, least: timeout,
	}, {
		name: "two late tries, and the third is answered",
		path: "/retry/attempts-2", failures: 2, failure: late, want: []int{200}, least: 2 * timeout,
	}, {
		name: "more late tries than attempts are an error",
		path: "/retry/attempts-2", failures: 3, failure: late, want: []int{504}, least: 3 * timeout,
	}, {
		name: "codes that leave 504 out change nothing",
		path: "/retry/other-code", failures: 1, failure: late, want: []int{200}, least: timeout,
	}, {
		name: "without a retry the first late try is the answer",
		path: "/retry/no-retry", failures: 1, failure: late, want: []int{504}, least: timeout,
	}, {
		name: "the request timeout of 1s ends the retries",
		path: "/late/request-1s", failure: always, want: []int{504}, least: time.Second, most: 2 * time.Second,
	}}
}
