package own

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"k8s.io/apimachinery/pkg/types"

	v1 "sigs.k8s.io/gateway-api/apis/v1"
	pb "sigs.k8s.io/gateway-api/conformance/echo-basic/grpcechoserver"
	"sigs.k8s.io/gateway-api/conformance/utils/grpc"
	"sigs.k8s.io/gateway-api/conformance/utils/kubernetes"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

var grpcRouteRequestHeaderModifier = suite.ConformanceTest{
	ShortName: "GRPCRouteRequestHeaderModifier",
	Description: "A RequestHeaderModifier of a GRPCRoute's rule, or of a backendRef, sets, adds and removes metadata " +
		"that the backend sees, and another rule's calls keep theirs.",
	Manifests: []string{"manifests/grpc-request-header-modifier.yaml"},
	Features: []features.FeatureName{
		features.SupportGateway,
		features.SupportGRPCRoute,
	},
	Test: func(t *testing.T, s *suite.ConformanceTestSuite) {
		name := types.NamespacedName{Name: "own-grpc-request-header-modifier", Namespace: namespace}
		address := kubernetes.GatewayAndRoutesMustBeAccepted(
			t, s.Client, s.TimeoutConfig, s.ControllerName, gateway, &v1.GRPCRoute{}, true, name)
		for _, one := range headerCases() {
			t.Run(one.name, func(t *testing.T) { one.run(t, s, address) })
		}
	},
}

// headerCase is a call and the metadata that the backend must see.
type headerCase struct {
	name string
	// rule is the metadatum by which the route picks a rule.
	rule string
	// want are the values of each name; none: it must not arrive.
	want map[string][]string
}

// sent is what every call sends.
var sent = map[string]string{"x-set": "sent", "x-add": "sent", "x-remove": "sent", "x-other": "sent"}

func headerCases() []headerCase {
	once := []string{"sent"}
	return []headerCase{{
		name: "of a rule",
		rule: "modified",
		want: map[string][]string{
			"x-set": {"by the rule"}, "x-new": {"by the rule"}, "x-add": {"by the rule", "sent"}, "x-remove": nil,
			"x-other": once,
		},
	}, {
		name: "of a backendRef",
		rule: "backend",
		want: map[string][]string{
			"x-set": {"by the backendRef"}, "x-new": nil, "x-add": {"by the backendRef", "sent"}, "x-remove": nil,
			"x-other": once,
		},
	}, {
		name: "of neither",
		rule: "plain",
		want: map[string][]string{"x-set": once, "x-new": nil, "x-add": once, "x-remove": once, "x-other": once},
	}}
}

// run waits until the rule is served, and then looks at three calls.
func (h headerCase) run(t *testing.T, s *suite.ConformanceTestSuite, address string) {
	call := grpc.ExpectedResponse{
		EchoRequest:     &pb.EchoRequest{},
		RequestMetadata: &grpc.RequestMetadata{Metadata: map[string]string{"x-rule": h.rule}},
		Backend:         "grpc-infra-backend-v1",
		Namespace:       namespace,
	}
	for name, value := range sent {
		call.RequestMetadata.Metadata[name] = value
	}
	caller := &grpc.DefaultClient{}
	defer caller.Close()
	grpc.MakeRequestAndExpectEventuallyConsistentResponse(t, caller, s.TimeoutConfig, address, call)
	for range 3 {
		reply, err := caller.SendRPC(t, address, call, s.TimeoutConfig.RequestTimeout)
		if err != nil || reply.Code != codes.OK {
			t.Fatalf("the call failed: %v, %v", reply.Code, err)
		}
		if err := h.check(reply.Response.GetAssertions().GetHeaders()); err != nil {
			t.Error(err)
		}
	}
}

// check compares what arrived; several values may come as one, joined by commas.
func (h headerCase) check(arrived []*pb.Header) error {
	for _, name := range slices.Sorted(maps.Keys(h.want)) {
		var values []string
		for _, header := range arrived {
			if header.GetKey() == name {
				values = append(values, splitList(header.GetValue())...)
			}
		}
		slices.Sort(values)
		if !slices.Equal(values, h.want[name]) {
			return fmt.Errorf("%s: the backend saw %q, want %q", name, values, h.want[name])
		}
	}
	return nil
}

// splitList takes the values of a list apart.
func splitList(value string) []string {
	values := strings.Split(value, ",")
	for at, one := range values {
		values[at] = strings.TrimSpace(one)
	}
	return values
}
