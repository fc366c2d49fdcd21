"""Measure the service."""
