"""Draw the picture of the start page, from the page itself: ``python -m tests.e2e.web.picture``."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, ImageDraw
from playwright.sync_api import sync_playwright

from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE
from protome.web.pages import FOLDER

from .browser import launch, settle, wait_for

HEIGHT: Final = 230
GAP: Final = 70
# The head of the sample photo: left, top, right, bottom in pixels.
HEAD: Final = (110, 20, 340, 250)
# What covers the canvas becomes transparent.
BARE: Final = """() => {
  for (const covering of document.querySelectorAll("html, body, .card, .fill"))
    covering.style.background = "transparent";
}"""


def photo() -> Image.Image:
    """The head of the sample photo with round corners."""
    picture = Image.open(SAMPLE).convert("RGBA").crop(HEAD).resize((HEIGHT - 10, HEIGHT - 10))
    mask = Image.new("L", (4 * picture.width, 4 * picture.height))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width, mask.height), 110, fill=255)
    picture.putalpha(mask.resize(picture.size))
    return picture


def meshes() -> list[Image.Image]:
    """Its mesh in clay and in colour, half turned, on nothing."""
    shown = []
    with EmbeddedServer() as server, sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_context(reduced_motion="reduce").new_page()
        page.goto(f"http://{server.web}/")
        page.click("#sample")
        wait_for(page, "done")
        page.evaluate(BARE)
        for _ in range(3):
            page.locator("#canvas").press("ArrowRight")
        page.evaluate("document.activeElement.blur()")
        for mode in ("Clay", "Textured"):
            page.get_by_label(mode).check(force=True)
            settle(page)
            data = page.locator("#canvas").screenshot(omit_background=True)
            picture = Image.open(io.BytesIO(data)).convert("RGBA")
            head = picture.crop(picture.getchannel("A").getbbox())
            shown.append(head.resize((round(head.width * HEIGHT / head.height), HEIGHT)))
        browser.close()
    return shown


def main() -> None:
    """Write the picture beside the page."""
    parts = [photo(), *meshes()]
    width = sum(part.width for part in parts) + GAP * (len(parts) - 1)
    strip, left = Image.new("RGBA", (width, HEIGHT + 10)), 0
    for part in parts:
        strip.alpha_composite(part, (left, (strip.height - part.height) // 2))
        left += part.width + GAP
    strip.save(FOLDER / "sample.webp", quality=80, alpha_quality=80, method=6)
    print(f"{strip.width} x {strip.height} pixels: sizes for <img> in index.html")


if __name__ == "__main__":
    main()
