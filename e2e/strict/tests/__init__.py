"""Tests of what judges the suites; they need nothing but Python."""
