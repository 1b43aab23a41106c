"""A Kubernetes cluster of two nodes on one Linux machine, from packages alone: no container engine, no registry."""
