"""Serve the pipeline over gRPC."""
