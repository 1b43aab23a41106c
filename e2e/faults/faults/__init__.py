"""Faults, and what must hold through them."""
