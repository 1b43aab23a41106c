"""Portolan on a cluster: what every end-to-end test begins with."""
