"""An image archive is what containerd reads, and the same bytes each time."""

import json
import tarfile
import tempfile
import unittest
from pathlib import Path

from minicluster.archive import Image, write


class Archive(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.program = self.folder / "program"
        self.program.write_bytes(b"\x7fELF")
        self.program.chmod(0o755)
        self.image = Image(("localhost/a:1", "localhost/a:2"), ("/bin/a",), {"/bin/a": self.program}, {"/bin/b": "/bin/a"},
                           user="65532:65532")

    def archive(self, name):
        out = self.folder / name
        write(self.image, out)
        return out

    def test_equal_files_give_equal_bytes(self):
        first = self.archive("1.tar").read_bytes()
        self.program.touch()
        self.assertEqual(first, self.archive("2.tar").read_bytes())

    def test_every_name_is_in_the_index(self):
        with tarfile.open(self.archive("1.tar")) as tar:
            index = json.load(tar.extractfile("index.json"))
        names = [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]]
        self.assertEqual(names, ["localhost/a:1", "localhost/a:2"])

    def test_the_layer_has_folders_files_and_links(self):
        with tarfile.open(self.archive("1.tar")) as tar:
            index = json.load(tar.extractfile("index.json"))
            manifest = self.blob(tar, index["manifests"][0]["digest"])
            config = self.blob(tar, manifest["config"]["digest"])
            layer = tar.extractfile("blobs/" + manifest["layers"][0]["digest"].replace(":", "/"))
            with tarfile.open(fileobj=layer) as files:
                entries = {entry.name: entry for entry in files}
        self.assertEqual(sorted(entries), ["bin", "bin/a", "bin/b", "etc", "tmp"])
        self.assertEqual(entries["bin/a"].mode, 0o755)
        self.assertEqual(entries["bin/b"].linkname, "/bin/a")
        self.assertEqual(config["config"]["User"], "65532:65532")
        self.assertEqual(config["config"]["Entrypoint"], ["/bin/a"])

    @staticmethod
    def blob(tar, digest):
        return json.load(tar.extractfile("blobs/" + digest.replace(":", "/")))


if __name__ == "__main__":
    unittest.main()
