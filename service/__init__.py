"""Protome: one photo of a face in, a 3D mesh of that face out."""
