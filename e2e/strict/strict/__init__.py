"""Protocol suites of others, and what they lack, against a running `portolan dev`."""
