"""The controller dies at each of its writes, and another one goes on: nothing half-made remains."""

import contextlib
import os
import re
import subprocess
import time
import urllib.request

from faults.main import BINARY
from harness.kube import Kube, until
from harness.world import World, gateway, gateway_config, route, status_of
from test_objects import certificate, grant, secret

MADE = ("ServiceAccount", "Role", "RoleBinding", "ClusterRoleBinding", "Service", "Deployment", "HorizontalPodAutoscaler",
        "PodDisruptionBudget")
SHARED = "ClusterRoleBinding"
STEPS_OF_MAKING = [f"{step}-{kind}" for kind in MADE for step in ("apply", "applied")]
STEPS_OF_TELLING = [f"{step}-{kind}" for kind in ("Gateway", "HTTPRoute") for step in ("status", "status-written")]
STEPS_OF_TAKING_AWAY = [f"{step}-{kind}" for kind in ("Role", "RoleBinding") for step in ("delete", "deleted")]
ELSEWHERE = "faults-steps-secrets"
KINDS = ("deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,horizontalpodautoscalers"
         ",endpointslices")


def parts(name: str) -> str:
    """A Gateway with a part of every kind: HTTPS by a Secret of another namespace, autoscaled."""
    tls = f"{{certificateRefs: [{{name: far, namespace: {ELSEWHERE}}}]}}"
    listeners = f"[{{name: http, port: 80, protocol: HTTP}}, {{name: https, port: 443, protocol: HTTPS, tls: {tls}}}]"
    return gateway(name, listeners, configured_by="steps") + route(name, name, "echo")


class Steps(World):
    namespace = "faults-steps"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.system, cls.elsewhere = Kube(cls.cluster, "portolan-system"), Kube(cls.cluster, ELSEWHERE)
        cls.elsewhere.run("create", "namespace", ELSEWHERE)
        cls.addClassCleanup(cls.elsewhere.delete, "namespace", ELSEWHERE, "--wait=false")
        cls.elsewhere.apply(secret("far", *certificate("far.example")) + grant(cls.namespace))
        scaled = "{autoscaling: {minReplicas: 1, maxReplicas: 2}, resources: {requests: {cpu: 10m}}}"
        cls.kube.apply(gateway_config("steps", scaled))
        container = cls.system.get("deployment", "portolan")["spec"]["template"]["spec"]["containers"][0]
        cls.arguments = [argument for argument in container["args"] if argument.startswith("--gateway-")]
        # From here on the tests' own controllers are the only ones.
        cls.addClassCleanup(cls.system.run, "rollout", "status", "deployment/portolan", "--timeout", "60s")
        cls.addClassCleanup(cls.system.run, "scale", "deployment/portolan", "--replicas=2")
        cls.system.run("scale", "deployment/portolan", "--replicas=0")
        until("no controller", lambda: not cls.system.list("pods"), 60)
        # What a Gateway has whose controller was left alone.
        cls.kube.apply(parts("whole"))
        with cls.controller():
            cls.kube.address("whole", 60)
            cls.whole = cls.parts_of("whole")

    @classmethod
    @contextlib.contextmanager
    def controller(cls, fail_point: str = ""):
        """A controller on this machine, which dies at a fail point."""
        environment = {**os.environ, "KUBECONFIG": str(cls.cluster.kubeconfig)}
        if fail_point:
            environment["FAILPOINTS"] = f"{fail_point}=return"
        command = [os.environ[BINARY], "controller", "--read-only", "127.0.0.1:0", *cls.arguments]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)

    @classmethod
    def parts_of(cls, name: str) -> set[str]:
        """Kinds and names of all that runs for a Gateway, without what is its own in them."""
        label = f"gateway.networking.k8s.io/gateway-name={name}"
        found = cls.kube.list(KINDS, "--selector", label) + cls.elsewhere.list("roles,rolebindings", "--selector", label)
        parts = [(one["kind"], one["metadata"]) for one in found if one["kind"] != "EndpointSlice"]
        # Roles of other namespaces have a hash of the Gateway's name in theirs.
        plain = lambda one: re.sub("-[0-9a-f]{8}$", "", one).replace(name, "X")
        return {f"{kind} {metadata['namespace']}/{plain(metadata['name'])}" for kind, metadata in parts}

    def die_at(self, step: str) -> None:
        """A controller works until it dies at a step."""
        with self.controller(step) as process:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.fail(f"the controller never came to {step} (was it built with its fail points?)")
            self.assertEqual(process.returncode, -6, "it did not abort")

    def assert_died_at(self, step: str, name: str) -> None:
        """What was made when the controller died is what its step says: all before it, and nothing after it."""
        done, kind = step.split("-", 1)
        made = {part.split()[0] for part in self.parts_of(name)}
        own = [one for one in MADE if one != SHARED]
        # What all Gateways share comes after all that is their own.
        at = len(own) if kind == SHARED else own.index(kind) + (done == "applied")
        self.assertEqual(made & set(own), set(own[:at]))

    def test_what_one_began_the_next_one_completes(self):
        for at, step in enumerate(STEPS_OF_MAKING + STEPS_OF_TELLING):
            with self.subTest(step):
                # The first of all by its name, so that the controller dies at its parts and no other Gateway's.
                name = f"a{at}"
                self.kube.apply(parts(name))
                with contextlib.ExitStack() as stack:
                    stack.callback(self.kube.delete, f"gateway/{name}", f"httproute/{name}")
                    self.die_at(step)
                    if step in STEPS_OF_MAKING:
                        self.assert_died_at(step, name)
                    stack.enter_context(self.controller())
                    address = self.kube.address(name, 60)
                    self.kube.wait_for_condition("httproute", name, "Accepted", "True")
                    until("an answer", lambda: status_of(address) == 200)
                    self.assertEqual(self.parts_of(name), self.whole)

    def test_what_one_began_to_take_away_the_next_one_takes_away(self):
        for at, step in enumerate(STEPS_OF_TAKING_AWAY):
            with self.subTest(step):
                name = f"gone{at}"
                self.kube.apply(parts(name))
                with self.controller():
                    self.kube.address(name, 60)
                self.kube.delete(f"gateway/{name}", f"httproute/{name}")
                self.die_at(step)
                done, kind = step.split("-", 1)
                left = [part for part in self.parts_of(name) if part.startswith(f"{kind} {ELSEWHERE}/")]
                self.assertEqual(len(left), 1 if done == "delete" else 0, left)
                with self.controller():
                    until("nothing is left", lambda: not self.parts_of(name), 60, lambda: str(self.parts_of(name)))

    def test_two_controllers_that_both_write_agree(self):
        def versions() -> dict[str, str]:
            found = self.kube.list(f"gateways.gateway.networking.k8s.io,httproutes,{KINDS}")
            return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}

        self.kube.apply(parts("both"))
        self.addCleanup(self.kube.delete, "gateway/both", "httproute/both")
        with self.controller(), self.controller():
            self.kube.address("both", 60)
            time.sleep(3)
            before = versions()
            time.sleep(5)
            self.assertEqual(versions(), before, "they undo each other's work")

    def test_of_several_one_alone_leads(self):
        self.system.run("scale", "deployment/portolan", "--replicas=3")
        self.addCleanup(until, "no controller", lambda: not self.system.list("pods"), 60)
        self.addCleanup(self.system.run, "scale", "deployment/portolan", "--replicas=0")
        self.system.run("rollout", "status", "deployment/portolan", "--timeout", "60s")
        addresses = [one["status"]["podIP"] for one in self.system.list("pods")]

        def told(path: str) -> list[str]:
            ask = lambda address: urllib.request.urlopen(f"http://{address}:15020{path}", timeout=5).read().decode()
            return [ask(address) for address in addresses]

        roles = ["leading\n", "standing by\n", "standing by\n"]
        until("one leads", lambda: sorted(told("/readyz")) == roles, 30, lambda: str(told("/readyz")))
        leads = ["portolan_controller_leading 1" in text.splitlines() for text in told("/metrics")]
        self.assertEqual(sum(leads), 1)
