"""The page: small, without scripts from elsewhere, of files that are short."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from protome.web.pages import FOLDER, page_routes

KIB = 1 << 10
TEXTS = [path for path in sorted(FOLDER.rglob("*")) if path.suffix in {".js", ".css", ".html"}]


def test_each_page_has_a_route() -> None:
    paths = {route.path for route in page_routes()}
    assert {"/", "/app.js", "/style.css", "/icon.svg", "/docs/", "/docs/docs.js"} <= paths


def test_the_page_with_all_it_loads_is_small() -> None:
    """Both pages together, and each file as it travels."""
    files = [path for path in FOLDER.rglob("*.*") if path.is_file()]
    total = sum(len(gzip.compress(file.read_bytes())) for file in files)
    assert total < 100 * KIB


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"(?:https?:)?//(?!www\.w3\.org)[\w.-]+\.\w+", text)
    assert "innerHTML" not in text
    assert not re.search(r"<[^>]+ (style|on\w+)=", text), "the policy forbids inline code"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
