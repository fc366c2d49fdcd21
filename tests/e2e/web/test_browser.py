"""The page in a real browser, as a person uses it."""

from __future__ import annotations

import base64
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE
from protome.v1 import reconstruction_pb2 as pb
from tests.e2e.guarded import Guarded
from tests.support import meshes
from tests.support.photos import group, scenery
from tests.support.service import MIB, SMALL, eventually

from .browser import MILLISECONDS, choose, drawn, launch, pixels, settle, status, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FORMATS = {
    "glb": pb.MESH_FORMAT_GLB,
    "ply": pb.MESH_FORMAT_PLY,
    "obj": pb.MESH_FORMAT_OBJ,
    "stl": pb.MESH_FORMAT_STL,
    "zip": pb.MESH_FORMAT_OBJ_ZIP,
}
NAMES = {"zip": "OBJ with texture"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


class Visit:
    """A visit to the page that reports what it must not do.

    Attributes:
        page: the page.
        requests: URLs that it asked for.
        faults: errors of its scripts, and what the policy forbade.
    """

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.context = browser.new_context(**{"reduced_motion": "reduce", **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(MILLISECONDS)
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._console)
        self.page.goto(address)

    def _console(self, message: Any) -> None:
        # A refusal of the server is an error to the console, and not one of the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)


@pytest.fixture
def visit(browser: Browser, server: EmbeddedServer) -> Iterator[Visit]:
    made = Visit(browser, f"http://{server.web}/")
    yield made
    made.context.close()
    assert not made.faults
    foreign = [
        url for url in made.requests if not url.startswith((f"http://{server.web}/", "blob:"))
    ]
    assert not foreign, "no request may leave the origin"


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
    assert "99%" in page.locator("#trust").inner_text()


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


def test_a_busy_server_is_tried_again(browser: Browser, sample_photo: bytes) -> None:
    """A server that takes no photo as long as another is in progress, and one is."""
    flags = [*SMALL, "--max-requests", "1"]
    with EmbeddedServer(flags) as server, socket.socket() as other:
        host, port = server.web.split(":")
        heavy = "&".join(f"boxes={170 + i},60,88,110" for i in range(16))
        other.connect((host, int(port)))
        head = f"POST /v1/reconstruct?detail=fine&formats=obj&{heavy} HTTP/1.1\r\nhost: x\r\n"
        head += f"accept: application/json\r\ncontent-length: {len(sample_photo)}\r\n\r\n"
        other.sendall(head.encode() + sample_photo)
        made = Visit(browser, f"http://{server.web}/")
        made.page.click("#sample")
        wait_for(made.page, "waiting")
        assert status(made.page).startswith("The server is busy. Trying again in ")
        other.close()
        wait_for(made.page, "done")
        assert not made.faults
        made.context.close()


def test_a_server_that_is_gone_and_back(browser: Browser) -> None:
    with EmbeddedServer(SMALL) as first:
        port = first.web.split(":")[1]
        made = Visit(browser, f"http://{first.web}/")
        made.page.click("#sample")
        wait_for(made.page, "done")
        first.process.send_signal(signal.SIGTERM)
        first.process.wait(30)
        choose(made.page, SAMPLE.read_bytes())
        wait_for(made.page, "waiting")
        assert "cannot be reached" in status(made.page)
    with EmbeddedServer([*SMALL, "--web-port", port]):
        wait_for(made.page, "done")
        assert status(made.page) == "The mesh is ready"
    assert not made.faults
    made.context.close()


def test_a_photo_can_be_cancelled(visit: Visit) -> None:
    page = visit.page
    page.route("**/v1/reconstruct*", lambda route: None)
    page.click("#sample")
    wait_for(page, "working")
    page.click("#cancel")
    wait_for(page, "failed")
    assert status(page) == "Cancelled"
    page.unroute_all(behavior="ignoreErrors")


def test_a_server_with_tokens_asks_for_one(browser: Browser, guarded: Guarded) -> None:
    made = Visit(browser, f"https://{guarded.server.web}/", ignore_https_errors=True)
    page = made.page
    page.click("#sample")
    wait_for(page, "failed")
    assert "needs a token" in status(page)
    expect(page.get_by_label("This server asks for a token.")).to_be_focused()
    page.keyboard.type(guarded.tokens["shop"])
    page.keyboard.press("Enter")
    wait_for(page, "done")
    assert not made.faults
    made.context.close()


def test_a_narrow_screen_shows_everything(browser: Browser, server: EmbeddedServer) -> None:
    made = Visit(
        browser,
        f"http://{server.web}/",
        viewport={"width": 360, "height": 740},
        has_touch=True,
        is_mobile=True,
    )
    page = made.page
    page.tap("#sample")
    wait_for(page, "done")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    settle(page)
    assert drawn(page).mean() > 0.1
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    made.context.close()


def test_the_keyboard_alone_is_enough(visit: Visit) -> None:
    page = visit.page

    def tab_to(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            focus = "document.activeElement.id || document.activeElement.textContent"
            if page.evaluate(focus) == name:
                return
        raise AssertionError(f"the key Tab does not lead to {name}")

    tab_to("sample")
    page.keyboard.press("Enter")
    wait_for(page, "done")
    tab_to("canvas")
    settle(page)
    front = drawn(page)
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
    settle(page)
    assert (drawn(page) != front).mean() > 0.02
    page.keyboard.press("0")
    tab_to("GLB")
    with page.expect_download(timeout=MILLISECONDS):
        page.keyboard.press("Enter")
    page.locator("#modes input:checked").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Clay")).to_be_checked()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(
    browser: Browser, server: EmbeddedServer, scheme: str
) -> None:
    made = Visit(browser, f"http://{server.web}/", color_scheme=scheme)
    page, axe = made.page, Axe()

    def check() -> None:
        # The checker is a script of others, which the policy of the page keeps out.
        found = [
            (fault["id"], fault["impact"], [node["html"] for node in fault["nodes"]])
            for fault in axe.run(page).response["violations"]
            if fault["impact"] in {"serious", "critical"}
        ]
        assert not found

    check()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#sample")
    wait_for(page, "done")
    check()
    page.goto(f"http://{server.web}/docs/")
    page.wait_for_selector("#errors tbody tr")
    check()
    level = sum(int(part) for part in background[4:-1].split(","))
    assert (level < 200) == (scheme == "dark")
    made.context.close()


def test_the_page_with_all_it_loads_is_small(browser: Browser, server: EmbeddedServer) -> None:
    made = Visit(browser, "about:blank")
    sizes = []
    made.page.on("requestfinished", lambda request: sizes.append(request.sizes()))
    made.page.goto(f"http://{server.web}/", wait_until="networkidle")
    assert len(sizes) > 8
    total = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)
    assert total < 100_000
    made.context.close()
