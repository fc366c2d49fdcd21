"""Call the service from Python.

with Client("localhost:50051") as client:
    result = client.reconstruct("face.jpg")
    result.faces[0].mesh  # the bytes of a GLB file
"""

from .answers import Face, Landmark, Pose, Reconstruction
from .asynchronous import AsyncClient
from .blocking import Client
from .connection import SERVICE_CONFIG, tls
from .errors import CorruptAnswer, NoFaceFound, ReconstructionError
from .requests import Options, Photo, make_request

__all__ = [
    "SERVICE_CONFIG",
    "AsyncClient",
    "Client",
    "CorruptAnswer",
    "Face",
    "Landmark",
    "NoFaceFound",
    "Options",
    "Photo",
    "Pose",
    "Reconstruction",
    "ReconstructionError",
    "make_request",
    "tls",
]
