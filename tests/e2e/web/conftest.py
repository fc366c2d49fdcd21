"""A browser, and visits to the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from protome.embedded import EmbeddedServer

from .browser import MILLISECONDS, launch


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
