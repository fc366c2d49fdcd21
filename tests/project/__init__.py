"""Tests of the repository itself: architecture, docs, types, lint, load tests."""
