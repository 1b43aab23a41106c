"""nginx: one worker, no master; its configuration for the job."""

import subprocess

from .. import places
from ..processes import Command, environment
from ..rules import HOSTS, PREFIXES, Scenario
from . import Job, Peer

_MAIN = """\
worker_processes 1;
daemon off;
master_process off;
pid nginx.pid;
error_log error.log warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  tcp_nodelay on;
  proxy_http_version 1.1;
  proxy_max_temp_file_size 0;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  ssl_certificate {certificate};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache off;
  ssl_session_tickets off;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 1000000000; }}
  server {{ {listen_default} location = /metrics {{ stub_status; }} location / {{ return 404; }} }}
{servers}
}}
"""


def _listen(job: Job, default: str = "") -> str:
    ports = job.ports
    return (
        f"listen 127.0.0.1:{ports.http}{default}; listen 127.0.0.1:{ports.h2c} http2{default};"
        f" listen 127.0.0.1:{ports.https} ssl http2{default};"
    )


def _prepare(job: Job) -> Command:
    listen = _listen(job)
    locations = " ".join(f"location {prefix} {{ proxy_pass http://backend; }}" for prefix in PREFIXES)
    servers = "\n".join(f"  server {{ {listen} server_name {host}; {locations} }}" for host in HOSTS)
    text = _MAIN.format(
        certificate=places.CERTIFICATE, key=places.KEY, backend=job.backend, servers=servers,
        listen_default=_listen(job, " default_server"),
    )
    (job.folder / "nginx.conf").write_text(text)
    return Command([str(places.NGINX), "-p", f"{job.folder}/", "-c", "nginx.conf", "-e", "error.log"])


def _version() -> str:
    shown = subprocess.run([str(places.NGINX), "-v"], env=environment(), capture_output=True, text=True)
    return shown.stderr.strip().removeprefix("nginx version: ")


NGINX = Peer("nginx", frozenset({Scenario.SERVE}), one_port=False, prepare=_prepare, version=_version)
