"""Decode a photo and cut out its faces."""
