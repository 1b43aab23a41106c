package own

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	crclient "sigs.k8s.io/controller-runtime/pkg/client"

	"sigs.k8s.io/gateway-api/conformance/utils/http"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

var httpRouteRetryConnectionError = suite.ConformanceTest{
	ShortName: "HTTPRouteRetryConnectionError",
	Description: "Where a rule has a retry, a try whose connection is reset or refused is made again as often as " +
		"attempts says, whatever codes are named, and not more often.",
	Manifests: []string{"manifests/retry-connection-error.yaml"},
	Features: []features.FeatureName{
		features.SupportGateway,
		features.SupportHTTPRoute,
		features.SupportHTTPRouteRetry,
		features.SupportHTTPRouteRetryConnectionError,
	},
	Test: func(t *testing.T, s *suite.ConformanceTestSuite) {
		// At 3000 the pod listens; at the others nothing does, and connections are refused at once.
		endpoints(t, s, "own-one-refuses", []int32{3000, 3998})
		endpoints(t, s, "own-all-refuse", []int32{3998, 3999})
		c := accepted(t, s, "own-retry-connection-error")
		c.retryServed(t, resetCases())
		c.retries(t, resetCases())
		t.Run("where one endpoint refuses, the other answers", c.oneRefuses)
		t.Run("where all endpoints refuse, an error comes after retries", c.allRefuse)
	},
}

func resetCases() []retryCase {
	return []retryCase{{
		name: "two resets, and the third try is answered",
		path: "/retry/attempts-2", failures: 2, want: []int{200},
	}, {
		name: "one more reset than attempts is an error",
		path: "/retry/attempts-2", failures: 3, want: anyError,
	}, {
		name: "codes change nothing",
		path: "/retry/code", failures: 2, want: []int{200},
	}, {
		// One is not enough: HTTP lets a proxy repeat a GET once where an idle connection turns out to be closed.
		name: "without a retry two resets are an error",
		path: "/retry/plain", failures: 2, want: anyError,
	}}
}

func (c client) oneRefuses(t *testing.T) {
	expected := http.ExpectedResponse{
		Request:  http.Request{Path: "/one-refuses"},
		Response: http.Response{StatusCodes: []int{200}},
		Backend:  suite.InfraBackendServiceNameV3,
	}
	c.served(t, expected)
	for range 20 {
		if _, err := c.ask(t, expected); err != nil {
			t.Error(err)
		}
	}
}

// allRefuse counts the retries by the time that they take, of which backoff: 500ms makes the most: two of them wait twice,
// and a third would make it 1.5 s at least. Nobody waits longer than half as long again.
func (c client) allRefuse(t *testing.T) {
	took, err := c.ask(t, http.ExpectedResponse{
		Request: http.Request{Path: "/all-refuse"}, Response: http.Response{StatusCodes: anyError},
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, took, time.Second)
	require.Less(t, took, 2500*time.Millisecond)
}

// endpoints gives a Service an EndpointSlice for each of the ports, all of them with the address of one pod.
func endpoints(t *testing.T, s *suite.ConformanceTestSuite, service string, ports []int32) {
	t.Helper()
	pods := &corev1.PodList{}
	app := crclient.MatchingLabels{"app": suite.InfraBackendServiceNameV3}
	require.NoError(t, s.Client.List(context.Background(), pods, crclient.InNamespace(namespace), app))
	require.Len(t, pods.Items, 1)
	var all []crclient.Object
	for _, port := range ports {
		all = append(all, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				GenerateName: service + "-",
				Namespace:    namespace,
				Labels:       map[string]string{discoveryv1.LabelServiceName: service},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{
				Addresses:  []string{pods.Items[0].Status.PodIP},
				Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
			}},
			Ports: []discoveryv1.EndpointPort{{Name: new("http"), Port: &port, Protocol: new(corev1.ProtocolTCP)}},
		})
	}
	s.Applier.MustApplyObjectsWithCleanup(t, s.Client, s.TimeoutConfig, all, true)
}
