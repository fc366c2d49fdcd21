"""Stubs generated from proto/protome/v1 by proto/generate_stubs.py."""

# Key of the trailing metadata that holds the google.rpc.Status of a failed call.
STATUS_DETAILS_KEY = "grpc-status-details-bin"
