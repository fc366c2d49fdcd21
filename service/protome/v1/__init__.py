"""Stubs generated from proto/protome/v1 (see tests/project/test_quality.py to renew them)."""
