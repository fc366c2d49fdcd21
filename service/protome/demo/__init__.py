"""Reconstruct the sample photo and draw the result."""
