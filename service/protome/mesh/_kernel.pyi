from typing import Final

from protome.geometry import U8

BACKEND: Final[str]

def extract(
    volume: U8, voxel: tuple[float, float, float], largest: bool, /
) -> tuple[bytearray, bytearray, bytearray]: ...
