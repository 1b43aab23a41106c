// Package own has conformance tests of our own, for what Portolan claims or serves and the Gateway API's suite of this
// version does not test. They run beside the suite and never count in its report.
package own

import (
	"embed"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sigs.k8s.io/gateway-api/conformance/utils/http"
	"sigs.k8s.io/gateway-api/conformance/utils/kubernetes"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
)

// Manifests are those of our tests.
//
//go:embed manifests
var Manifests embed.FS

// Tests are ours, in the order in which they run.
var Tests = []suite.ConformanceTest{
	claimedFeaturesHaveTests,
	grpcRouteRequestHeaderModifier,
	httpRouteBackendRequestRedirect,
	httpRouteBackendURLRewrite,
	httpRouteRetryBackendTimeout,
	httpRouteRetryBackoff,
	httpRouteRetryConnectionError,
}

const namespace = suite.InfrastructureNamespace

// gateway is that of the suite's base which takes routes of its own namespace.
var gateway = kubernetes.NewGatewayRef(types.NamespacedName{Name: "same-namespace", Namespace: namespace})

// client sends requests to the Gateway's address.
type client struct {
	suite   *suite.ConformanceTestSuite
	address string
}

// accepted waits until an HTTPRoute is accepted and its references resolved.
func accepted(t *testing.T, s *suite.ConformanceTestSuite, route string) client {
	t.Helper()
	name := types.NamespacedName{Name: route, Namespace: namespace}
	address := kubernetes.GatewayAndHTTPRoutesMustBeAccepted(
		t, s.Client, s.TimeoutConfig, s.ControllerName, gateway, name)
	kubernetes.HTTPRouteMustHaveResolvedRefsConditionsTrue(t, s.Client, s.TimeoutConfig, name, gateway.NamespacedName)
	return client{suite: s, address: address}
}

// served waits until the Gateway answers as expected: an accepted route may take a moment to reach it.
func (c client) served(t *testing.T, expected http.ExpectedResponse) {
	t.Helper()
	expected.Namespace = namespace
	http.MakeRequestAndExpectEventuallyConsistentResponse(
		t, c.suite.RoundTripper, c.suite.TimeoutConfig, c.address, expected)
}

// ask sends one request, says how long its answer took, and whether it is the expected one. It never asks twice: a
// Gateway that now and then does wrong must not pass.
func (c client) ask(t *testing.T, expected http.ExpectedResponse) (time.Duration, error) {
	t.Helper()
	expected.Namespace = namespace
	request := http.MakeRequest(t, &expected, c.address, "HTTP", "http")
	start := time.Now()
	seen, answer, err := c.suite.RoundTripper.CaptureRoundTrip(request)
	took := time.Since(start)
	if err != nil {
		return took, err
	}
	if !slices.Contains(expected.Response.StatusCodes, answer.StatusCode) {
		return took, fmt.Errorf("got status %d, want one of %v", answer.StatusCode, expected.Response.StatusCodes)
	}
	return took, http.CompareRoundTrip(t, &request, seen, answer, expected)
}
