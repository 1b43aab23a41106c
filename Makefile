# The developer's front door. `make help` lists the targets.
SHELL := /bin/bash
CARGO ?= cargo

# What is built is looked for in target/, whatever the caller has cargo do elsewhere.
unexport CARGO_TARGET_DIR

.PHONY: help deps filters demo test lint e2e release bench fuzz crds cluster-deps cluster-up cluster-down cluster-status conformance faults strict

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

deps: ## Install what building and testing need (quick when it is there)
	@tools/deps

filters: deps ## Build the filters that ship and those of the tests
	@filters/build.sh

demo: ## Build, serve demo/manifests and try it out
	@tools/demo

test: filters ## Run every test that needs no cluster
	$(CARGO) test --workspace --no-fail-fast
	python3 -m unittest discover -q -s e2e/bench/tests -t e2e/bench
	python3 -m unittest discover -q -s e2e/cluster/tests -t e2e/cluster
	PYTHONPATH=e2e/cluster python3 -m unittest discover -q -s e2e/conformance/tests -t e2e/conformance

lint: deps ## Formatting, clippy with warnings as errors, licences and duplicates of dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@tools/cargo-deny --locked check licenses bans sources

e2e: strict conformance faults cluster-down ## All that runs against a running portolan, on a cluster and off it

strict: filters ## Foreign suites against `portolan dev`: h2spec, gRPC interop, WebSocket, HTTP/3
	$(CARGO) build -p portolan
	python3 -m unittest discover -q -s e2e/strict/tests -t e2e/strict
	@e2e/strict/run

cluster-deps:
	@e2e/cluster/setup

cluster-up: cluster-deps ## Bring up a Kubernetes cluster of two nodes on this machine (needs root)
	@e2e/cluster/cluster up

cluster-down: ## Take it down, without a trace
	@e2e/cluster/cluster down

cluster-status: ## Show how it is
	@e2e/cluster/cluster status

conformance: cluster-deps ## Run the Gateway API's conformance suite; RUN=HTTPRouteWeight runs one test
	$(CARGO) build -p portolan
	@e2e/conformance/run $(if $(RUN),--run $(RUN)) $(CONFORMANCE_OPTIONS)

faults: cluster-deps filters ## Break things on the cluster: pods, nodes, the API server, etcd, the controller, objects
	$(CARGO) build -p portolan --features fail-points
	PYTHONPATH=e2e/cluster python3 -m unittest discover -q -s e2e/harness/tests -t e2e/harness
	@e2e/faults/run

release: filters ## Build the binary that ships, by a profile of itself under load
	@tools/release

bench: filters ## Measure against nginx, HAProxy and Envoy, side by side
	@e2e/bench/run

fuzz: ## Run each fuzz target for ten minutes
	@for target in client_hello proxy_wasm_encodings yaml_to_snapshot; do fuzz/run $$target || exit; done

crds: ## Take the CRDs of the Gateway API anew from its Go module (needs Go)
	@tools/crds
