"""What load generators print is read as it is meant."""

import unittest

from peerbench.loads import Load, OddOutput, Tool, parse_h2load, parse_h2load_log, parse_wrk

WRK = """\
Running 2s test @ http://127.0.0.1:18101/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.95ms    1.02ms  28.02ms   98.31%
    Req/Sec    70.77k     4.02k   76.31k    85.00%
  Latency Distribution
     50%  751.00us
     75%    1.01ms
     90%    1.20ms
     99%    1.25s 
  140870 requests in 2.00s, 14.10MB read
Requests/sec:  70382.54
Transfer/sec:      7.05MB
"""

H2LOAD = """\
starting benchmark...
finished in 2.00s, 38397.50 req/s, 2.53MB/s
requests: 76795 total, 76923 started, 76795 done, 76790 succeeded, 5 failed, 5 errored, 2 timeout
status codes: 76790 2xx, 0 3xx, 0 4xx, 0 5xx
time for request:      191us     21.01ms      1.66ms       943us    91.02%
"""


class Wrk(unittest.TestCase):
    def test_counts_rate_and_percentiles_are_read_in_their_units(self):
        seen = parse_wrk(WRK)
        self.assertEqual((seen.requests, seen.failures, seen.rate), (140870, 0, 70382.54))
        self.assertAlmostEqual(seen.p50_ms, 0.751)
        self.assertAlmostEqual(seen.p99_ms, 1250.0)

    def test_socket_errors_and_bad_answers_are_failures(self):
        errors = "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n"
        text = WRK.replace("Requests/sec", errors + "Requests/sec")
        self.assertEqual(parse_wrk(text).failures, 54321)

    def test_anything_else_is_refused(self):
        with self.assertRaises(OddOutput):
            parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


class H2load(unittest.TestCase):
    def test_succeeded_requests_count_and_errored_ones_are_among_the_failed(self):
        seen = parse_h2load(H2LOAD)
        self.assertEqual((seen.requests, seen.failures, seen.rate), (76790, 7, 38397.5))
        self.assertIsNone(seen.p50_ms)

    def test_percentiles_come_from_the_log_whatever_its_order(self):
        log = "".join(f"1700000000000000\t200\t{1000 * n}\n" for n in reversed(range(100)))
        self.assertEqual(parse_h2load_log(log), (50.0, 99.0))

    def test_an_empty_log_is_refused(self):
        with self.assertRaises(OddOutput):
            parse_h2load_log("")


class CommandLines(unittest.TestCase):
    def test_wrk_closes_connections_only_where_asked(self):
        self.assertNotIn("Connection: close", Load(Tool.WRK, 1).command(80, 1))
        self.assertIn("Connection: close", Load(Tool.WRK, 1, close=True).command(80, 1))

    def test_h2load_names_the_host_and_connects_to_the_port(self):
        words = Load(Tool.H2LOAD, 8, 16, tls=True).command(4433, 2, "log")
        self.assertEqual(words[-1], "https://svc8.example.test/")
        self.assertIn("--connect-to=127.0.0.1:4433", words)
        self.assertIn("--log-file=log", words)


if __name__ == "__main__":
    unittest.main()
