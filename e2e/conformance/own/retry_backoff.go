package own

import (
	"net/url"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

var httpRouteRetryBackoff = suite.ConformanceTest{
	ShortName: "HTTPRouteRetryBackoff",
	Description: "No retry comes before the backoff of its rule, which is a minimum, neither after a code nor after a " +
		"backendRequest timeout.",
	Manifests: []string{"manifests/retry-backoff.yaml"},
	Features: []features.FeatureName{
		features.SupportGateway,
		features.SupportHTTPRoute,
		features.SupportHTTPRouteRetry,
		features.SupportHTTPRouteBackendTimeout,
	},
	Test: func(t *testing.T, s *suite.ConformanceTestSuite) {
		c := accepted(t, s, "own-retry-backoff")
		cases := []retryCase{{
			name: "after a code",
			path: "/retry/code", failures: 1, failure: url.Values{"responseCode": {"503"}}, want: []int{200}, least: time.Second,
		}, {
			// 500ms for each of two tries, and the backoff between them.
			name: "after a backendRequest timeout",
			path: "/late/backoff-1s", failure: url.Values{"delay": {"9s"}}, want: []int{504}, least: 2 * time.Second,
		}}
		c.retryServed(t, cases)
		for _, one := range cases {
			t.Run(one.name, func(t *testing.T) { c.manyAtOnce(t, one) })
		}
	},
}

// manyAtOnce asks often, as a Gateway may add what it likes to the backoff, by chance.
func (c client) manyAtOnce(t *testing.T, one retryCase) {
	const requests = 10
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			if err := c.retry(t, one); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
