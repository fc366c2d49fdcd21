"""Stubs generated from proto/protome/v1 by proto/generate_stubs.py."""
