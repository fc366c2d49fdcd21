"""Measure a released network through the service's own code."""
