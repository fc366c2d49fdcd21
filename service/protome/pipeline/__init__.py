"""Take a photo through all stages: in the server, or in one process."""
