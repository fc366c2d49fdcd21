"""Decide which work goes first, which faces share a batch, and what can be done in time."""
