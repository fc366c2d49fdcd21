"""Stubs generated from proto/protome/v1 (see tests/proto/test_stubs.py to renew them)."""
