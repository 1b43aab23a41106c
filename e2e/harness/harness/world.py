"""A namespace with a Gateway, a backend and a route, for a test to break."""

import unittest
import urllib.error
import urllib.request

from conformance import build
from harness.kube import Kube, until
from harness.load import Load
from minicluster.places import Cluster


def backend_image() -> str:
    """The echo server of the conformance suite: its image is on both nodes."""
    return build.named_images(build.source(build.SUITE))["echo-basic"][0]


def backend(name: str, replicas: int = 2) -> str:
    """A Deployment and its Service, which listens at port 80. Its pods wait before they end, as servers should that are
    told to end before everybody knows."""
    return f"""\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 10
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: ScheduleAnyway
        labelSelector: {{matchLabels: {{app: {name}}}}}
      containers:
      - name: echo
        image: {backend_image()}
        imagePullPolicy: Never
        env:
        - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
        - {{name: NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}
        lifecycle: {{preStop: {{sleep: {{seconds: 3}}}}}}
        readinessProbe: {{tcpSocket: {{port: 3000}}, periodSeconds: 1}}
        resources: {{requests: {{cpu: 10m}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: 3000}}]
"""


def gateway(name: str, listeners: str = "[{name: http, port: 80, protocol: HTTP}]", gateway_class: str = "portolan",
            configured_by: str = "") -> str:
    """A Gateway; with `configured_by`, one that the GatewayConfig of that name says how to run."""
    reference = f"{{group: portolan.dev, kind: GatewayConfig, name: {configured_by}}}"
    infrastructure = f"infrastructure: {{parametersRef: {reference}}}, " if configured_by else ""
    return f"""\
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec: {{gatewayClassName: {gateway_class}, {infrastructure}listeners: {listeners}}}
"""


def gateway_config(name: str, spec: str) -> str:
    return f"---\napiVersion: portolan.dev/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def route(name: str, parent: str, service: str, hostname: str = "", path: str = "/") -> str:
    hostnames = f"hostnames: [{hostname}], " if hostname else ""
    return f"""\
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec: {{parentRefs: [{{name: {parent}}}], {hostnames}rules: [{{
  matches: [{{path: {{type: PathPrefix, value: {path}}}}}], backendRefs: [{{name: {service}, port: 80}}]}}]}}
"""


def versioned(host: str, version: int = 0) -> dict:
    """The spec of a route whose answers tell its version."""
    header = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-version", "value": str(version)}]}}
    return {"parentRefs": [{"name": "web"}], "hostnames": [host],
            "rules": [{"filters": [header], "backendRefs": [{"name": "echo", "port": 80}]}]}


def status_of(address: str, path: str = "/", host: str = "", timeout: float = 5) -> int:
    """The status of the answer to one request over a connection of its own."""
    request = urllib.request.Request(f"http://{address}{path}", headers={"Host": host or address})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


class World(unittest.TestCase):
    """A namespace of its own for a class of tests, with a Gateway `web` that serves Service `echo`."""

    namespace = ""
    replicas = 2

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = Cluster()
        cls.kube = Kube(cls.cluster, cls.namespace)
        cls.kube.delete("namespace", cls.namespace)
        cls.kube.run("create", "namespace", cls.namespace)
        cls.addClassCleanup(cls.kube.delete, "namespace", cls.namespace, "--wait=false")
        # A namespace that goes while the API server starts anew may leave objects behind whose kinds it does not know yet.
        cls.addClassCleanup(cls.kube.delete, "gateways.gateway.networking.k8s.io", "--all")
        cls.kube.apply(backend("echo", cls.replicas) + gateway("web") + route("web", "web", "echo"))
        cls.kube.run("rollout", "status", "deployment/echo", "--timeout", "60s")
        cls.kube.run("rollout", "status", "deployment/web-portolan", "--timeout", "60s")
        # Kubernetes' own controllers may still be waiting between tries: some minute, where a test before this one took the
        # API server from them.
        cls.address = cls.kube.address("web", 180)
        until("the first answer", lambda: status_of(cls.address) == 200)

    def assert_all_answered(self, load: Load) -> None:
        """Every request was answered, and with 200."""
        print(load.result)
        self.assertEqual(load.result.failures, [])
        self.assertEqual(set(load.result.answered), {200})
