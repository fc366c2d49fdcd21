"""Turn a volume into an encoded mesh."""
