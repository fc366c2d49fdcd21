"""Render photos of synthetic heads."""
