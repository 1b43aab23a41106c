#!/usr/bin/env bash
# Builds all guests into filters/target: the Rust filters for wasm32-wasip1, the Go filter where there is a Go.
# Quick when nothing changed: both compilers see that themselves.
set -euo pipefail
cd "$(dirname "$0")"

cargo build --quiet --release --target wasm32-wasip1
if command -v go >/dev/null; then
    (cd go-hello && GOOS=wasip1 GOARCH=wasm go build -trimpath -buildmode=c-shared -ldflags='-s -w' \
        -o ../target/wasm32-wasip1/release/go_hello.wasm .)
else
    echo "filters/build.sh: no go in PATH, so the Go filter is not built, and its test is skipped" >&2
fi
