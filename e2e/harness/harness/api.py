"""The API server itself, over one kept connection: where kubectl would be too slow to measure with."""

import http.client
import json
import re
import ssl

from minicluster.places import Cluster
from minicluster.run import Failure


class Api:
    """Talks JSON to the API server as the cluster's administrator."""

    def __init__(self, cluster: Cluster):
        address, port = re.search(r"server: https://(\S+):(\d+)", cluster.kubeconfig.read_text()).groups()
        context = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
        context.load_cert_chain(cluster.pki / "admin.crt", cluster.pki / "admin.key")
        self.connection = http.client.HTTPSConnection(address, int(port), timeout=30, context=context)

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        """The answer; anything but success is a failure. PATCH is server-side apply."""
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        self.connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind})
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise Failure(f"{method} {path}: {answer.status} {data.decode(errors='replace')[:500]}")
        return json.loads(data)

    def apply_route(self, namespace: str, name: str, spec: dict) -> dict:
        """Applies an HTTPRoute."""
        path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}"
        body = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                "metadata": {"name": name, "namespace": namespace}, "spec": spec}
        return self.call("PATCH", f"{path}?fieldManager=probe&force=true", body)
