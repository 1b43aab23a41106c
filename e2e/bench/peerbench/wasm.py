"""The Wasm filter of the benchmark: one module and one configuration for all that run it."""

CONFIGURATION = {"responseHeaders": {"x-wasm": "bench"}}
"""It reads the request's path and sets one response header."""

HEADER = "x-wasm"
"""The header by which an answer shows that the filter ran."""
