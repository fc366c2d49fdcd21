"""Write the settings table of service/SETTINGS.md: ``python -m tests.project.settings``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from protome.config import Config

PAGE: Final = Path(__file__).parents[2] / "service" / "SETTINGS.md"
HEAD: Final = "| setting | default | meaning |\n|---|---|---|\n"


def table() -> str:
    """Return one Markdown row for each setting, in the order of the code."""
    rows = [
        f"| `{f.name}` | {f'`{f.default}`' if f.default != '' else ''} | {f.metadata['help']} |\n"
        for f in dataclasses.fields(Config)
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    before, _, after = PAGE.read_text(encoding="utf-8").partition(HEAD)
    _, _, rest = after.partition("\n\n")
    PAGE.write_text(f"{before}{table()}\n{rest}", encoding="utf-8")
