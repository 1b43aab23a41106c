package own

import (
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/gateway-api/conformance/utils/http"
	"sigs.k8s.io/gateway-api/conformance/utils/roundtripper"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

// split is how often a rule with several backendRefs is asked: that one of three equal ones is never picked has a
// chance of one in a hundred million.
const split = 48

var httpRouteBackendURLRewrite = suite.ConformanceTest{
	ShortName: "HTTPRouteBackendURLRewrite",
	Description: "A URLRewrite of a backendRef rewrites host and path of the requests that go to that backend, and of " +
		"no others.",
	Manifests: []string{"manifests/backend-url-rewrite.yaml"},
	Features: []features.FeatureName{
		features.SupportGateway,
		features.SupportHTTPRoute,
		features.SupportHTTPRouteHostRewrite,
		features.SupportHTTPRoutePathRewrite,
	},
	Test: func(t *testing.T, s *suite.ConformanceTestSuite) {
		c := accepted(t, s, "own-backend-url-rewrite")
		request := http.Request{Host: "asked.example.org", Path: "/split/tail?q=1"}
		arrives := func(backend, host, path string) http.ExpectedResponse {
			return http.ExpectedResponse{
				Request:         request,
				ExpectedRequest: &http.ExpectedRequest{Request: http.Request{Host: host, Path: path}},
				Response:        http.Response{StatusCodes: []int{200}},
				Backend:         backend,
			}
		}
		c.divided(t, []http.ExpectedResponse{
			arrives("infra-backend-v1", "rewritten.example.org", "/full?q=1"),
			arrives("infra-backend-v2", "asked.example.org", "/prefix/tail?q=1"),
			arrives("infra-backend-v3", "asked.example.org", "/split/tail?q=1"),
		})
	},
}

var httpRouteBackendRequestRedirect = suite.ConformanceTest{
	ShortName: "HTTPRouteBackendRequestRedirect",
	Description: "A RequestRedirect of a backendRef answers the requests that would go to that backend, and no others; " +
		"the backend sees none.",
	Manifests: []string{"manifests/backend-request-redirect.yaml"},
	Features: []features.FeatureName{
		features.SupportGateway,
		features.SupportHTTPRoute,
		features.SupportHTTPRoutePathRedirect,
		features.SupportHTTPRouteSchemeRedirect,
	},
	Test: func(t *testing.T, s *suite.ConformanceTestSuite) {
		c := accepted(t, s, "own-backend-request-redirect")
		request := http.Request{Host: "asked.example.org", Path: "/split/tail", UnfollowRedirect: true}
		redirected := func(code int, to roundtripper.RedirectRequest) http.ExpectedResponse {
			return http.ExpectedResponse{
				Request: request, Response: http.Response{StatusCodes: []int{code}}, RedirectRequest: &to,
			}
		}
		c.divided(t, []http.ExpectedResponse{
			redirected(301, roundtripper.RedirectRequest{
				Scheme: "https", Host: "elsewhere.example.org", Path: "/split/tail",
			}),
			redirected(302, roundtripper.RedirectRequest{
				Scheme: "http", Host: "asked.example.org", Path: "/prefix/tail",
			}),
			{Request: request, Response: http.Response{StatusCodes: []int{200}}, Backend: "infra-backend-v3"},
		})
	},
}

// divided asks a rule that is divided among backends: each answer has to be one of the expected, and each of these has
// to come.
func (c client) divided(t *testing.T, expected []http.ExpectedResponse) {
	t.Helper()
	c.served(t, http.ExpectedResponse{Request: http.Request{Path: "/plain"}})
	came, wrong := make([]int, len(expected)), []error{}
	for range split {
		which, err := c.askEither(t, expected)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		came[which]++
	}
	if len(wrong) > 0 {
		t.Errorf("%d of %d answers are of no backendRef, the first: %v", len(wrong), split, wrong[0])
	}
	for at, times := range came {
		if times == 0 {
			t.Errorf("of %d requests none was answered as expected of backendRef %d", split, at)
		}
	}
	t.Logf("answers of each backendRef: %v", came)
}

// askEither sends one request, which is the same for all of the expected, and says which of them the answer is.
func (c client) askEither(t *testing.T, expected []http.ExpectedResponse) (int, error) {
	t.Helper()
	request := http.MakeRequest(t, &expected[0], c.address, "HTTP", "http")
	seen, answer, err := c.suite.RoundTripper.CaptureRoundTrip(request)
	if err != nil {
		return 0, err
	}
	var differs []string
	for at, one := range expected {
		// The suite's defaults are written into what is compared.
		one.Namespace = namespace
		if one.RedirectRequest != nil {
			to := *one.RedirectRequest
			one.RedirectRequest = &to
		}
		err := http.CompareRoundTrip(t, &request, seen, answer, one)
		if err == nil {
			return at, nil
		}
		differs = append(differs, err.Error())
	}
	return 0, errors.New(strings.Join(differs, "; "))
}
