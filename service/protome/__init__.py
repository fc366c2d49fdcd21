"""Protome: one photo of a face in, a 3D mesh of that face out."""

from importlib.metadata import version

__version__ = version("protome")
