"""Measurements on the cluster."""
