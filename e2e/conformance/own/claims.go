package own

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	v1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

var claimedFeaturesHaveTests = suite.ConformanceTest{
	ShortName:   "ClaimedFeaturesHaveTests",
	Description: "Each feature that the GatewayClass claims is tested, by the suite or by us.",
	Features:    []features.FeatureName{features.SupportGateway},
}

// init breaks a circle: this test looks at Tests, where it stands.
func init() {
	at := slices.IndexFunc(Tests, func(test suite.ConformanceTest) bool {
		return test.ShortName == claimedFeaturesHaveTests.ShortName
	})
	Tests[at].Test = testClaimedFeatures
}

func testClaimedFeatures(t *testing.T, s *suite.ConformanceTestSuite) {
	class := &v1.GatewayClass{}
	err := s.Client.Get(context.Background(), types.NamespacedName{Name: s.GatewayClassName}, class)
	require.NoError(t, err)
	require.NotEmpty(t, class.Status.SupportedFeatures)

	tested := sets.New[features.FeatureName]()
	for _, list := range [][]suite.ConformanceTest{tests.ConformanceTests, Tests} {
		for _, test := range list {
			tested.Insert(test.Features...)
		}
	}
	for _, claimed := range class.Status.SupportedFeatures {
		if !tested.Has(features.FeatureName(claimed.Name)) {
			t.Errorf("%s is claimed, and no test is about it", claimed.Name)
		}
	}
}
