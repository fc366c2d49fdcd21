"""Turn the bytes of a photo into crops of its faces."""
