"""Kinds of picture: EXIF orientation, colour modes, depths, formats, sizes."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
import trimesh
from PIL import Image

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.hostile import HEIC  # noqa: F401  # Registers the encoder of HEIC.
from tests.support.photos import opened, saved, turned
from tests.support.profiles import PROFILES, converted
from tests.support.service import Answer, Stub, ask, overlap


def _mesh(answer: Answer) -> trimesh.Trimesh:
    return readers.read(answer.mesh(), answer.header)


@pytest.fixture(scope="module")
def upright(server: EmbeddedServer, sample_photo: bytes) -> Answer:
    """The answer to the sample, cropped so that its sides differ."""
    with grpc.insecure_channel(server.address) as channel:
        return ask(Stub(channel), pb.ReconstructRequest(image=_oblong(sample_photo)))


def _oblong(photo: bytes) -> bytes:
    return saved(opened(photo).crop((40, 0, 440, 500)), "PNG", compress_level=1)


def _same(answer: Answer, reference: Answer, *, rel: float = 0.02) -> None:
    assert answer.header.photo_width == reference.header.photo_width
    assert answer.header.photo_height == reference.header.photo_height
    assert overlap(answer.header.faces[0].box, reference.header.faces[0].box) > 1 - 2 * rel
    mesh, expected = _mesh(answer), _mesh(reference)
    assert mesh.volume == pytest.approx(expected.volume, rel=rel)
    assert np.allclose(mesh.bounds, expected.bounds, atol=0.3 * rel)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tag_is_obeyed(
    stub: Stub, sample_photo: bytes, upright: Answer, orientation: int
) -> None:
    stored = turned(_oblong(sample_photo), orientation)
    _same(ask(stub, pb.ReconstructRequest(image=stored)), upright, rel=0.001)


def test_orientation_of_a_jpeg_with_sides_over_the_reduced_scale(
    stub: Stub, sample_photo: bytes
) -> None:
    """A large JPEG is decoded at a half; boxes still count its own pixels, upright."""
    large = opened(sample_photo).crop((40, 0, 440, 500)).resize((2800, 3500))
    plain = ask(stub, pb.ReconstructRequest(image=saved(large, "JPEG", quality=90)))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = large.transpose(Image.Transpose.ROTATE_90)
    sideways = ask(stub, pb.ReconstructRequest(image=saved(stored, "JPEG", quality=90, exif=exif)))
    assert (plain.header.photo_width, plain.header.photo_height) == (2800, 3500)
    x, y, width, height = ((179 - 40) * 7.0, 62 * 7.0, 88 * 7.0, 110 * 7.0)
    where = pb.BoundingBox(x=x, y=y, width=width, height=height)
    assert overlap(plain.header.faces[0].box, where) > 0.6
    _same(sideways, plain, rel=0.05)


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("JPEG", {"quality": 92}),
        ("JPEG", {"quality": 92, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 90}),
        ("HEIF", {"quality": 90}),
        ("AVIF", {"quality": 90}),
    ],
)
def test_formats_of_the_same_picture_agree(
    stub: Stub, sample_photo: bytes, upright: Answer, format_: str, options: dict[str, Any]
) -> None:
    picture = saved(opened(_oblong(sample_photo)), format_, **options)
    _same(ask(stub, pb.ReconstructRequest(image=picture)), upright, rel=0.04)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_colour_modes_give_a_face(
    stub: Stub, sample_photo: bytes, upright: Answer, mode: str
) -> None:
    picture = opened(_oblong(sample_photo))
    if mode == "I;16":
        grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        data = saved(Image.fromarray(grey), "PNG")
    else:
        data = saved(picture.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    answer = ask(stub, pb.ReconstructRequest(image=data))
    assert overlap(answer.header.faces[0].box, upright.header.faces[0].box) > 0.7
    # One bit a pixel leaves little to see but a head it stays.
    assert _mesh(answer).volume == pytest.approx(_mesh(upright).volume, rel=0.4)


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB", "ProPhoto"])
def test_a_texture_has_srgb_colours(stub: Stub, sample_photo: bytes, name: str) -> None:
    """In whatever colour space the photo is stored, if its profile says so."""
    plain = opened(sample_photo)
    wide = saved(converted(plain, PROFILES[name]), "PNG", icc_profile=PROFILES[name])
    colours = []
    for image in (saved(plain, "PNG"), wide):
        request = pb.ReconstructRequest(image=image, appearance=pb.APPEARANCE_TEXTURE)
        texture = opened(readers.texture(ask(stub, request).mesh()))
        colours.append(np.asarray(texture, float).mean(axis=(0, 1)))
    np.testing.assert_allclose(colours[1], colours[0], atol=1.0)


@pytest.mark.parametrize(
    ("size", "format_", "options"),
    [
        ((8160, 6144), "JPEG", {"quality": 80}),
        ((8192, 6144), "JPEG", {"quality": 80, "progressive": True}),
        ((6000, 4000), "PNG", {"compress_level": 1}),
        ((6000, 4000), "WEBP", {"quality": 60, "method": 0}),
        ((6000, 4000), "AVIF", {"quality": 50, "speed": 10}),
    ],
)
def test_photos_of_the_largest_modes_of_phones_and_cameras(
    stub: Stub, sample_photo: bytes, size: tuple[int, int], format_: str, options: dict[str, Any]
) -> None:
    picture = Image.new("RGB", size, (90, 90, 90))
    picture.paste(opened(sample_photo).resize((3000, 3000)), (500, 400))
    data = saved(picture, format_, **options)
    answer = ask(stub, pb.ReconstructRequest(image=data, detail=pb.DETAIL_LEVEL_PREVIEW), None)
    assert answer.outcomes() == ["RECONSTRUCTED"]
    assert (answer.header.photo_width, answer.header.photo_height) == size


def test_sixteen_bit_colour_png(stub: Stub, sample_photo: bytes, upright: Answer) -> None:
    # Pillow cannot write one; cv2 can.
    import cv2

    bgr = np.asarray(opened(_oblong(sample_photo)))[:, :, ::-1].astype(np.uint16) * 257
    done, data = cv2.imencode(".png", bgr)
    assert done
    _same(ask(stub, pb.ReconstructRequest(image=data.tobytes())), upright, rel=0.02)


def test_sixteen_bit_grey_is_neither_black_nor_white(stub: Stub, sample_photo: bytes) -> None:
    grey = np.asarray(opened(sample_photo).convert("L")).astype(np.uint16) * 257
    request = pb.ReconstructRequest(
        image=saved(Image.fromarray(grey), "PNG"),
        formats=[pb.MESH_FORMAT_PLY],
        appearance=pb.APPEARANCE_VERTEX_COLOURS,
    )
    mesh = _mesh(ask(stub, request))
    front = mesh.vertices[:, 2] > mesh.vertices[:, 2].max() - 0.03
    assert 90 < np.median(readers.colours(mesh)[front]) < 230


def test_transparent_parts_do_not_hide_the_face(stub: Stub, sample_photo: bytes) -> None:
    picture = opened(sample_photo).convert("RGBA")
    alpha = Image.new("L", picture.size, 0)
    alpha.paste(255, (140, 20, 310, 250))
    picture.putalpha(alpha)
    answer = ask(stub, pb.ReconstructRequest(image=saved(picture, "PNG")))
    assert answer.outcomes() == ["RECONSTRUCTED"]


def test_bytes_behind_the_picture_are_ignored(
    stub: Stub, sample_photo: bytes, upright: Answer
) -> None:
    data = saved(opened(_oblong(sample_photo)), "JPEG", quality=95) + b"trailer" * 1000
    _same(ask(stub, pb.ReconstructRequest(image=data)), upright, rel=0.04)


def test_identical_photos_give_identical_meshes(stub: Stub, sample_photo: bytes) -> None:
    first, second = (ask(stub, pb.ReconstructRequest(image=sample_photo)) for _ in range(2))
    assert first.mesh() == second.mesh()
    assert first.header == second.header


def test_phone_pictures_with_more_than_one_frame(stub: Stub, sample_photo: bytes) -> None:
    """MPO: a JPEG with more JPEGs behind the first, as many phones write it."""
    picture = opened(sample_photo)
    data = saved(picture, "MPO", save_all=True, append_images=[picture.resize((64, 64))])
    answer = ask(stub, pb.ReconstructRequest(image=data))
    assert answer.outcomes() == ["RECONSTRUCTED"]
    assert (answer.header.photo_width, answer.header.photo_height) == (512, 512)
