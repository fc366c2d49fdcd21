"""What the README says stays true."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from protome.config import Config
from protome.errors import ProtomeError
from protome.server.status import CODES

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\| (.+) \|$", README, re.MULTILINE)
    fields = dataclasses.fields(Config)
    expected = [(f.name, str(f.default), str(f.metadata["help"])) for f in fields]
    assert [row for row in rows if row[0] in Config.__dataclass_fields__] == expected


def test_every_reason_is_documented_with_its_status() -> None:
    table = {
        reason: status
        for status, reasons in re.findall(r"^\| `([A-Z_]+)` \| (`[^|]+`) \|", README, re.MULTILINE)
        for reason in re.findall(r"`(\w+)`", reasons)
    }
    # An outcome of a face, not of a call.
    table["NO_SURFACE"] = "INTERNAL"
    assert table == {error.reason: code.name for error, code in CODES.items()}


def test_every_error_has_a_status() -> None:
    def kinds(base: type[ProtomeError]) -> set[type[ProtomeError]]:
        return {k for sub in base.__subclasses__() for k in {sub, *kinds(sub)}}

    assert set(CODES) == kinds(ProtomeError)
