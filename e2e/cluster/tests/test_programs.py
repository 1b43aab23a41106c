"""The cache's key is of what is built, and of nothing else."""

import os
import tempfile
import unittest
from pathlib import Path

from minicluster import programs
from minicluster.images import with_our_images


class Key(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def test_other_sources_or_words_give_another_key(self):
        source = self.folder / "go.mod"
        source.write_text("module a\n")
        first = programs.key([source], "go1.26")
        self.assertEqual(first, programs.key([source], "go1.26"))
        self.assertNotEqual(first, programs.key([source], "go1.27"))
        source.write_text("module b\n")
        self.assertNotEqual(first, programs.key([source], "go1.26"))

    def test_what_was_built_of_old_versions_is_forgotten(self):
        for age, name in enumerate(["now", "last", "older", "oldest"]):
            (self.folder / name).mkdir()
            os.utime(self.folder / name, (1000 - age, 1000 - age))
        programs.forget_old(self.folder / "now")
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["last", "now"])


class MetalLB(unittest.TestCase):
    def test_images_are_ours_and_probes_are_quick(self):
        given = "        image: somewhere/metallb/controller:v1\n          initialDelaySeconds: 10\n          periodSeconds: 10\n"
        self.assertEqual(with_our_images(given), "        image: localhost/metallb-controller:1\n"
                         "          initialDelaySeconds: 1\n          periodSeconds: 2\n")


if __name__ == "__main__":
    unittest.main()
