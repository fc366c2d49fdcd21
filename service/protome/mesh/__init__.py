"""Build an encoded mesh of a head."""
