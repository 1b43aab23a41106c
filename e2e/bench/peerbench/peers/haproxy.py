"""HAProxy: one thread; its configuration for the job."""

import subprocess

from .. import places
from ..processes import Command, environment
from ..rules import HOSTS, PREFIXES, Scenario
from . import Job, Peer

_MAIN = """\
global
  nbthread 1
  maxconn 8192
  tune.ssl.cachesize 0
  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option http-keep-alive
frontend metrics
  bind 127.0.0.1:{admin}
  stats enable
  stats uri /metrics
frontend public
  bind 127.0.0.1:{http}
  bind 127.0.0.1:{h2c} proto h2
  bind 127.0.0.1:{https} ssl crt {both} alpn h2,http/1.1
  option forwardfor
  acl known_host hdr(host),field(1,:) -i {hosts}
{choices}
  default_backend nowhere
{backends}
backend nowhere
  http-request return status 404
"""


def _prepare(job: Job) -> Command:
    ports = job.ports
    choices = [f"  use_backend b{n} if {{ path_beg {prefix} }} known_host" for n, prefix in enumerate(PREFIXES)]
    server = f"  server s 127.0.0.1:{job.backend} maxconn 4096 pool-max-conn 1024"
    backends = [f"backend b{n}\n{server}" for n in range(len(PREFIXES))]
    text = _MAIN.format(
        http=ports.http, h2c=ports.h2c, https=ports.https, admin=ports.admin, both=places.KEY.parent / "both.pem",
        hosts=" ".join(HOSTS), choices="\n".join(choices), backends="\n".join(backends),
    )
    path = job.folder / "haproxy.cfg"
    path.write_text(text)
    return Command([str(places.HAPROXY), "-db", "-f", str(path)])


def _version() -> str:
    shown = subprocess.run([str(places.HAPROXY), "-v"], env=environment(), capture_output=True, text=True)
    return "haproxy/" + shown.stdout.split()[2]


HAPROXY = Peer("haproxy", frozenset({Scenario.SERVE}), one_port=False, prepare=_prepare, version=_version)
