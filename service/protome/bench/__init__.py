"""Benchmark the service on this machine."""
