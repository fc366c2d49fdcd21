"""Call the service from Python.

with Client("localhost:50051") as client:
    result = client.reconstruct(photo_bytes)
    result.faces[0].mesh  # the bytes of a GLB file
"""

from .answers import Face, Reconstruction
from .asynchronous import AsyncClient
from .blocking import Client
from .connection import SERVICE_CONFIG, tls
from .errors import CorruptAnswer, NoFaceFound, ReconstructionError
from .requests import Options, make_request

__all__ = [
    "SERVICE_CONFIG",
    "AsyncClient",
    "Client",
    "CorruptAnswer",
    "Face",
    "NoFaceFound",
    "Options",
    "Reconstruction",
    "ReconstructionError",
    "make_request",
    "tls",
]
