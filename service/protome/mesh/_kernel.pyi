from typing import Final

from protome.geometry import F32, I32, U8

BACKEND: Final[str]

def compose(
    vertices: F32, triangles: I32, guard: F32, hair: U8, step: int, rounds: int, /
) -> tuple[bytearray, bytearray, bytearray, bytearray, bytearray]: ...
