"""Build an encoded mesh from a volume."""
