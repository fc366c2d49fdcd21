"""Decide who may call: TLS certificates and tokens."""
