"""The page in a real browser when something is in the way, and on other devices."""

from __future__ import annotations

import signal
import socket

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE
from tests.e2e.guarded import Guarded
from tests.support.service import SMALL

from .browser import MILLISECONDS, choose, drawn, settle, status, wait_for
from .conftest import Visit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


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
