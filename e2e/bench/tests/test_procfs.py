"""Costs of processes are read from /proc as it is written, also from that of this very process."""

import os
import subprocess
import sys
import unittest

from peerbench import procfs
from peerbench.procfs import Cpu, parse_memory, parse_stat

TICKS = procfs.TICKS_PER_SECOND


class Parsing(unittest.TestCase):
    def test_a_name_with_blanks_and_parentheses_shifts_nothing(self):
        numbers = " ".join(["0"] * 9)
        text = f"7 (a b) c)) S 3 {numbers} {1 * TICKS} {2 * TICKS} {10 * TICKS} {20 * TICKS} 20 0 1"
        self.assertEqual(parse_stat(text), (3, Cpu(11.0, 22.0)))

    def test_memory_is_found_by_its_whole_name(self):
        text = "VmPeak:\t  900 kB\nVmHWM:\t  120 kB\nVmRSS:\t   80 kB\n"
        self.assertEqual([parse_memory(text, field) for field in ("VmHWM", "VmRSS", "VmSwap")], [120, 80, 0])


class Living(unittest.TestCase):
    def test_children_belong_to_the_tree_and_their_time_to_the_sum(self):
        before = procfs.cpu(os.getpid())
        spin = "import time\nwhile time.process_time() < 0.3: pass\ninput()"
        child = subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE)
        try:
            self.assertIn(child.pid, procfs.tree(os.getpid()))
        finally:
            child.communicate(b"\n")
        self.assertGreaterEqual((procfs.cpu(os.getpid()) - before).total, 0.25)

    def test_an_ended_process_costs_nothing_and_fails_nothing(self):
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        self.assertEqual(procfs.memory_kib(child.pid, "VmHWM"), 0)


if __name__ == "__main__":
    unittest.main()
