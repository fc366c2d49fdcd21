"""Tables in the documentation match the code."""

from __future__ import annotations

import re
from pathlib import Path

from protome import web
from protome.errors import ProtomeError
from protome.server.calls.status import CODES
from protome.web.problems import http_status

from .settings import PAGE, table

CONTRACT = (Path(__file__).parents[2] / "proto" / "README.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_that_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert table() + "\n" in text, "run: python -m tests.project.settings"


def test_every_reason_is_documented_with_its_status() -> None:
    documented = {
        reason: status
        for status, reasons in re.findall(
            r"^\| `([A-Z_]+)` \| (`[^|]+`) \|", CONTRACT, re.MULTILINE
        )
        for reason in re.findall(r"`(\w+)`", reasons)
    }
    # An outcome of a face, not of a call.
    documented["NO_SURFACE"] = "INTERNAL"
    assert documented == {error.reason: code.name for error, code in CODES.items()}


def test_every_error_has_a_status() -> None:
    def kinds(base: type[ProtomeError]) -> set[type[ProtomeError]]:
        return {k for sub in base.__subclasses__() for k in {sub, *kinds(sub)}}

    assert set(CODES) == kinds(ProtomeError)


def test_every_reason_is_documented_with_its_http_status() -> None:
    text = (Path(web.__file__).parent / "README.md").read_text(encoding="utf-8")
    documented = {
        reason: int(status)
        for status, reasons in re.findall(r"^\| (\d{3}) \| (`[^|]+`) \|", text, re.MULTILINE)
        for reason in re.findall(r"`(\w+)`", reasons)
    }
    assert documented == {kind.reason: http_status(kind) for kind in CODES}
