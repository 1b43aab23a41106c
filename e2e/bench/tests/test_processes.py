"""Processes run for as long as they are wanted, on the cores that they are given, and no longer."""

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from peerbench.processes import Command, free_ports, log_tail, output_of, running

CORE = str(min(os.sched_getaffinity(0)))
BENCH = Path(__file__).resolve().parent.parent


def python(code: str) -> Command:
    return Command([sys.executable, "-c", code])


class Processes(unittest.TestCase):
    def test_a_process_ends_with_its_block_and_leaves_its_output(self):
        talks = python("print('here', flush=True)\nimport time\ntime.sleep(600)")
        with running("test-process", CORE, talks) as process:
            while "here" not in log_tail("test-process"):
                self.assertIsNone(process.poll())
        self.assertIsNotNone(process.poll())

    def test_it_runs_on_its_core_alone(self):
        self.assertEqual(output_of(CORE, python("import os\nprint(os.sched_getaffinity(0))"), 60), f"{{{CORE}}}\n")

    def test_a_command_that_does_not_end_is_ended(self):
        self.assertIsNone(output_of(CORE, python("import time\ntime.sleep(600)"), 0.2))

    def test_sigterm_ends_what_was_started(self):
        code = (
            "from peerbench.processes import *\nimport time\nend_in_order()\n"
            f"with running('test-child', {CORE!r}, Command(['sleep', '600'])) as child:\n"
            "    print(child.pid, flush=True)\n    time.sleep(600)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], cwd=BENCH, stdout=subprocess.PIPE, text=True)
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGTERM)
        parent.communicate()
        self.assertEqual(parent.returncode, 128 + signal.SIGTERM)
        self.assertRaises(ProcessLookupError, os.kill, child, 0)

    def test_free_ports_differ(self):
        self.assertEqual(len(set(free_ports(20))), 20)


if __name__ == "__main__":
    unittest.main()
