"""A failure says what failed, and how its log ends."""

import tempfile
import unittest
from pathlib import Path

from minicluster.lifecycle import free_port
from minicluster.run import LINES_SHOWN, Failure, run, within


class Run(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.log = Path(scratch.name) / "logs/a.log"

    def test_a_failure_names_the_command_and_shows_the_end_of_its_log(self):
        with self.assertRaises(Failure) as caught:
            run("sh", "-c", "seq 100; exit 3", log=self.log)
        text = str(caught.exception)
        self.assertIn("exited with 3", text)
        self.assertIn(str(self.log), text)
        self.assertIn("    100", text)
        self.assertNotIn(f"    {100 - LINES_SHOWN}\n", text)

    def test_a_failure_without_a_log_says_what_was_printed(self):
        with self.assertRaisesRegex(Failure, "exited with 1: no such thing"):
            run("sh", "-c", "echo no such thing >&2; exit 1")

    def test_what_does_not_come_in_time_names_its_log(self):
        def never():
            raise Failure("not yet")

        with self.assertRaisesRegex(Failure, "the server: not within 0 s: not yet\n.*a.log: not written"):
            within(0, "the server", self.log, never)

    def test_a_port_in_use_is_passed_over(self):
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.assertNotEqual(free_port(port), port)


if __name__ == "__main__":
    unittest.main()
