"""YAML is written in blocks, with strings that no reader takes for anything else."""

import unittest

from peerbench import yaml


class Writing(unittest.TestCase):
    def test_lists_and_maps_are_blocks_with_quoted_strings(self):
        value = {"kind": "Gateway", "spec": {"ports": [{"port": 80, "names": ["on", "1"]}, {"port": 81}], "none": {}}}
        self.assertEqual(
            yaml.document(value),
            'kind: "Gateway"\nspec:\n  ports:\n    - port: 80\n      names:\n        - "on"\n        - "1"\n'
            "    - port: 81\n  none: {}\n",
        )

    def test_documents_are_parted(self):
        self.assertEqual(yaml.documents([{"a": 1}, {"b": True}]), "a: 1\n---\nb: true\n")


if __name__ == "__main__":
    unittest.main()
