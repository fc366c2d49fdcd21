"""Colour a surface from its photo."""
