"""What the client takes: options, photos."""

from __future__ import annotations

import array
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protome.client import Client, Options, make_request
from protome.v1 import reconstruction_pb2 as pb

PHOTO = b"\xff\xd8 a photo"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"detale": "fine"}, "no option 'detale'; did you mean 'detail'?"),
        ({"max_face": 1}, "no option 'max_face'; did you mean 'max_faces'?"),
        ({"compression": "draco"}, "did you mean 'compressions'?"),
        ({"xyzzy": 1}, "no option 'xyzzy'$"),
        ({"formats": "ply"}, r"did you mean formats=\['ply'\]\?"),
        ({"compressions": "draco"}, r"did you mean compressions=\['draco'\]\?"),
    ],
)
def test_a_wrong_option_is_a_type_error_with_a_suggestion(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        make_request(PHOTO, **options)
    with Client("localhost:1") as client, pytest.raises(TypeError, match=words):
        client.reconstruct(PHOTO, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"detail": "fin"}, "'fin' is not one of preview, standard, fine; did you mean 'fine'?"),
        ({"formats": ["gbl"]}, "'gbl' is not one of .*; did you mean 'glb'?"),
        ({"appearance": "unspecified"}, "'unspecified' is not one of none, vertex_colours"),
    ],
)
def test_a_wrong_value_is_a_value_error_with_a_suggestion(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make_request(PHOTO, **options)


def test_every_option_reaches_the_request() -> None:
    options: Options = {
        "boxes": [(1, 2, 3, 4)],
        "max_faces": 2,
        "detail": "fine",
        "formats": ("ply",),
        "compressions": ("draco", "meshopt"),
        "appearance": "vertex_colours",
        "preview_first": True,
        "max_triangles": 300,
        "max_mesh_bytes": 2000,
        "max_texture_side": 512,
        "turn_to_front": True,
        "vertex_quality": True,
        "priority": "background",
    }
    assert set(options) == set(Options.__annotations__)
    plain, request = make_request(PHOTO), make_request(PHOTO, **options)
    fields = {field.name for field, _ in request.ListFields()}
    assert fields == {field.name for field in pb.ReconstructRequest.DESCRIPTOR.fields}
    for name in options:
        assert getattr(request, name) != getattr(plain, name), name


def test_photos_are_bytes_or_paths(tmp_path: Path) -> None:
    file = tmp_path / "face.jpg"
    file.write_bytes(PHOTO)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as held:
        photos: list[Any] = [
            *(PHOTO, bytearray(PHOTO), memoryview(PHOTO), array.array("B", PHOTO), held),
            *(np.frombuffer(PHOTO, np.uint8), file, str(file)),
        ]
        for photo in photos:
            assert make_request(photo).image == PHOTO


def test_other_objects_are_not_photos(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        make_request(tmp_path / "missing.jpg")
    nothing: Any = None
    with pytest.raises(TypeError, match="of type NoneType"):
        make_request(nothing)
