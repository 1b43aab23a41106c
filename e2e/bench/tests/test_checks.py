"""A proxy that does less than the job is found out before it is measured."""

import itertools
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from peerbench.checks import CheckFailed, whole_job
from peerbench.loads import Load, Tool
from peerbench.rules import Scenario

LOAD = Load(Tool.WRK, 1)
NUMBERS = itertools.count()


class Proxy(BaseHTTPRequestHandler):
    """Answers as a proxy in front of the backend would, less what `lacks` names."""

    lacks = ""

    def do_GET(self):
        known = self.headers["Host"] == LOAD.host or self.lacks == "404"
        self.send_response(200 if known else 404)
        body = b"Hello, World!"
        if self.path == "/echo":
            forwarded = "" if self.lacks == "forwarded" else "x-forwarded-for: 127.0.0.1\r\n"
            body = f"GET /echo HTTP/1.1\r\nhost: {LOAD.host}\r\n{forwarded}\r\n".encode()
            self.send_header("x-connection", str(next(NUMBERS)) if self.lacks == "keepalive" else "1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class WholeJob(unittest.TestCase):
    def check(self, lacks: str, scenario: Scenario = Scenario.SERVE) -> None:
        handler = type("Lacking", (Proxy,), {"lacks": lacks})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                whole_job(server.server_port, LOAD, scenario)
            finally:
                server.shutdown()
                thread.join()

    def test_the_whole_job_passes(self):
        self.check("")

    def test_an_unknown_host_that_is_served_fails(self):
        self.assertRaisesRegex(CheckFailed, "unknown host", self.check, "404")

    def test_a_missing_forwarded_header_fails(self):
        self.assertRaisesRegex(CheckFailed, "X-Forwarded-For", self.check, "forwarded")

    def test_connections_that_are_not_used_again_fail(self):
        self.assertRaisesRegex(CheckFailed, "connections", self.check, "keepalive")

    def test_a_filter_that_leaves_no_mark_fails(self):
        self.assertRaisesRegex(CheckFailed, "mark", self.check, "", Scenario.FILTER)


if __name__ == "__main__":
    unittest.main()
