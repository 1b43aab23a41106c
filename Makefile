# The developer's front door. `make help` lists the targets.
SHELL := /bin/bash
CARGO ?= cargo

.PHONY: help deps filters demo test lint bench crds fuzz

help: ## List the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

deps: ## Install what building and testing need (quick when it is there)
	@tools/deps

filters: deps ## Build the filters that ship and those of the tests
	@filters/build.sh

demo: ## Build, serve demo/manifests and try it out
	@tools/demo

test: filters ## Run every test that needs no cluster
	$(CARGO) test --workspace --no-fail-fast

lint: deps ## Formatting and clippy, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bench: filters ## Measure against nginx, HAProxy and Envoy, side by side
	@e2e/bench/run

crds: ## Take the CRDs of the Gateway API anew from its Go module (needs Go)
	@tools/crds
