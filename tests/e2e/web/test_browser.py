"""The page in a real browser, as a person uses it."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes
from tests.support.photos import group, scenery
from tests.support.service import MIB, eventually

from .browser import MILLISECONDS, choose, drawn, pixels, settle, status, wait_for
from .conftest import Visit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FORMATS = {
    "glb": pb.MESH_FORMAT_GLB,
    "ply": pb.MESH_FORMAT_PLY,
    "obj": pb.MESH_FORMAT_OBJ,
    "stl": pb.MESH_FORMAT_STL,
    "zip": pb.MESH_FORMAT_OBJ_ZIP,
}
NAMES = {"zip": "OBJ with texture"}


def drop(page: Page, photo: bytes) -> None:
    """Drop a file on the page."""
    transfer = page.evaluate_handle(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
          return transfer;
        }""",
        base64.b64encode(photo).decode(),
    )
    for event in ("dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": transfer})


def test_a_dropped_photo_becomes_a_mesh(visit: Visit, sample_photo: bytes) -> None:
    page = visit.page
    expect(page.locator("#limits")).to_have_text("JPEG, PNG or WebP, up to 20 MB.")
    drop(page, sample_photo)
    wait_for(page, "done")
    assert status(page) == "The mesh is ready"
    expect(page.locator("#canvas")).to_have_attribute("aria-label", "Mesh of face 1")
    settle(page)
    seen = drawn(page)
    # A head in the middle: a good part of the canvas, and more than an outline.
    assert 0.15 < seen.mean() < 0.7
    height, width = seen.shape
    assert seen[height // 3 : height // 2, int(0.45 * width) : int(0.55 * width)].all()
    box = page.locator("#boxes button")
    expect(box).to_have_count(1)
    photo, found = page.locator("#photo").bounding_box(), box.bounding_box()
    assert photo
    assert found
    # The face of the sample is 88 of 512 pixels wide and 179 from the left.
    assert found["width"] / photo["width"] == pytest.approx(88 / 512, abs=0.02)
    assert (found["x"] - photo["x"]) / photo["width"] == pytest.approx(179 / 512, abs=0.02)
    assert page.locator("#times tr").count() == 9
    assert re.search(r"\b9\d%", page.locator("#trust").inner_text())


def test_the_mesh_turns_zooms_and_changes_its_look(visit: Visit) -> None:
    page = visit.page
    page.click("#sample")
    wait_for(page, "done")
    settle(page)
    looks = {"textured": pixels(page.locator("#canvas"))}
    for mode in ("clay", "wireframe", "confidence"):
        page.get_by_label(mode.capitalize()).check(force=True)
        settle(page)
        looks[mode] = pixels(page.locator("#canvas"))
    names = [*looks]
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            difference = np.abs(looks[one].astype(int) - looks[other]).mean()
            assert difference > 3, f"{one} and {other} look alike"
    # Viridis: the face that the photo shows is yellow, which skin, clay and lines are not.
    yellow = looks["confidence"].reshape(-1, 3).astype(int)
    assert ((yellow[:, 0] > 170) & (yellow[:, 1] > 150) & (yellow[:, 2] < 90)).mean() > 0.02
    expect(page.locator("#legend")).to_be_visible()
    page.get_by_label("Clay").check(force=True)
    settle(page)
    front = drawn(page)
    box = page.locator("#canvas").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 120, y, steps=4)
    page.mouse.up()
    settle(page)
    turned = drawn(page)
    assert (turned != front).mean() > 0.01
    page.mouse.wheel(0, -400)
    settle(page)
    assert drawn(page).mean() > 1.3 * turned.mean()
    page.locator("#canvas").press("0")
    settle(page)
    assert (drawn(page) != front).mean() < 0.005


@pytest.mark.parametrize("format_", FORMATS)
def test_each_format_is_downloaded(visit: Visit, tmp_path: Path, format_: str) -> None:
    page = visit.page
    page.click("#sample")
    wait_for(page, "done")
    with page.expect_download(timeout=MILLISECONDS) as download:
        name = NAMES.get(format_, format_.upper())
        page.get_by_role("button", name=name, exact=True).click()
    assert download.value.suggested_filename == f"sample_1.{format_}"
    file = tmp_path / "mesh"
    download.value.save_as(file)
    mesh = meshes.read(file.read_bytes(), pb.Header(format=FORMATS[format_]))
    assert len(mesh.faces) > 10_000
    # A head with its neck, in metres.
    assert 0.2 < mesh.extents.max() < 0.4


def test_two_faces_are_shown_each_in_its_turn(
    visit: Visit, sample_photo: bytes, tmp_path: Path
) -> None:
    page = visit.page
    choose(page, group(sample_photo, (512, 320)))
    wait_for(page, "done")
    assert status(page) == "2 meshes are ready; choose a face in the photo"
    first, second = page.locator("#boxes button").all()
    expect(first).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#result-title")).to_have_text("Face 1")
    second.click()
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#canvas")).to_have_attribute("aria-label", "Mesh of face 2")
    expect(page.locator("#result-title")).to_have_text("Face 2")
    with page.expect_download(timeout=MILLISECONDS) as download:
        page.get_by_role("button", name="PLY").click()
    assert download.value.suggested_filename == "photo_2.ply"


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (scenery(), "No face was found in this photo"),
        (b"no picture", "not a picture that can be read"),
        (b"\xff\xd8\xff\xe0 cut", "damaged"),
        (bytes(20 * MIB + 1), "too large: the limit is 20 MB"),
    ],
    ids=["no face", "no picture", "broken", "too large"],
)
def test_what_is_wrong_is_said_in_plain_words(visit: Visit, photo: bytes, words: str) -> None:
    choose(visit.page, photo)
    wait_for(visit.page, "failed")
    assert words in status(visit.page)
    # And the next photo is taken as if nothing had been.
    visit.page.click("#sample")
    wait_for(visit.page, "done")


def test_a_pasted_photo_and_one_of_the_camera(visit: Visit, sample_photo: bytes) -> None:
    page = visit.page
    page.evaluate(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([bytes], "pasted.jpg", { type: "image/jpeg" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        base64.b64encode(sample_photo).decode(),
    )
    wait_for(page, "done")
    page.click("#camera")
    expect(page.locator("#booth")).to_be_visible()
    width = "document.getElementById('video').videoWidth"
    eventually(lambda: bool(page.evaluate(width)), "the camera shows something")
    page.click("#shoot")
    # The fake camera shows a test picture, which has no face.
    wait_for(page, "failed")
    assert "No face" in status(page)
    expect(page.locator("#booth")).to_be_hidden()
