"""Call the service from Python.

with Client("localhost:50051") as client:
    result = client.reconstruct(photo_bytes)
    result.faces[0].mesh  # the bytes of a GLB file
"""

from .blocking import (
    SERVICE_CONFIG,
    AsyncClient,
    Client,
    CorruptAnswer,
    Face,
    NoFaceFound,
    Options,
    Reconstruction,
    ReconstructionError,
    make_request,
    tls,
)

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
