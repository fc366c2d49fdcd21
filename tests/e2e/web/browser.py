"""A real browser for the tests: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import io
import os
import shutil
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright

# Software rendering: there is no GPU. Playwright's own sandbox flags do not suit root.
FLAGS: Final = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
# Software rendering on a busy machine.
MILLISECONDS: Final = 90_000


def launch(playwright: Playwright) -> Browser:
    """Start the browser; skip where there is none, but never on CI."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM to its path")
    return playwright.chromium.launch(executable_path=program, args=FLAGS)


def wait_for(page: Page, state: str) -> None:
    """Wait until the page is in this state: start, working, waiting, done or failed."""
    page.wait_for_selector(f"body[data-state={state}]", timeout=MILLISECONDS)


def status(page: Page) -> str:
    """What the page says is going on."""
    return page.locator("#status").inner_text()


def choose(page: Page, photo: bytes, name: str = "photo.jpg") -> None:
    """Choose a photo as by the button."""
    page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": photo})


def pixels(area: Locator) -> NDArray[np.uint8]:
    """What a part of the page looks like, (height, width, 3)."""
    picture = Image.open(io.BytesIO(area.screenshot(timeout=MILLISECONDS))).convert("RGB")
    return np.asarray(picture)


def drawn(page: Page) -> NDArray[np.bool_]:
    """Which pixels of the canvas are not background, (height, width)."""
    # Without the border, which shows whether the canvas has the focus.
    shown = pixels(page.locator("#canvas")).astype(int)[8:-8, 8:-8]
    background = shown[shown.shape[0] // 2, 0]
    return np.asarray(np.abs(shown - background).max(axis=2) > 12)


def settle(page: Page) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
