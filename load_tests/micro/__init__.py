"""Measure single stages in this process."""
