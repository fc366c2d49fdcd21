"""Run ghz, a gRPC benchmark tool, against a real server."""
