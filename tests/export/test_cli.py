"""The ``protome-export`` command."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from protome_export.cli import main


def test_preview_and_pack_commands(tmp_path: Path) -> None:
    main(["preview", "--count", "3", str(tmp_path / "sheet.png")])
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (208, 8 * 208, 3)
    assert sheet[:, :624].std() > 10
    with pytest.raises(SystemExit):
        main(["nothing"])
