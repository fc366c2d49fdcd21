"""Stubs generated from proto/protome/v1; tests/project/test_quality.py has the command."""

# Key of the trailing metadata that holds the google.rpc.Status of a failed call.
STATUS_DETAILS_KEY = "grpc-status-details-bin"
