"""What apt would install is read from its simulation."""

import unittest

from peerbench.install import packages_to_install

SIMULATION = """\
Reading package lists...
Inst libev4 (1:4.33-1 Debian:12.15/oldstable [amd64])
Inst libnghttp2-14 [1.52.0-1+deb12u2] (1.52.0-1+deb12u3 Debian:12.15/oldstable [amd64])
Conf libev4 (1:4.33-1 Debian:12.15/oldstable [amd64])
"""


class Apt(unittest.TestCase):
    def test_new_and_upgraded_packages_are_named_once(self):
        self.assertEqual(packages_to_install(SIMULATION), ["libev4", "libnghttp2-14"])


if __name__ == "__main__":
    unittest.main()
