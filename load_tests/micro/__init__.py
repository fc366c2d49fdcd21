"""Benchmark single stages in this process."""
