"""Serve plain HTTP and the page beside gRPC: the same photos, limits and errors."""
