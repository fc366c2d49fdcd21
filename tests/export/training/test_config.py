from pathlib import Path

import pytest

from protome_export.training.config import Config, dump_config, load_config


def test_config_reads_back(tmp_path: Path) -> None:
    config = Config(head='a "b"\\c', decoder=(0, 1, 16), amp=True, minutes=1.5, batch=4)
    dump_config(config, tmp_path / "c.toml")
    assert load_config(tmp_path / "c.toml") == config


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("learnin_rate = 1.0\n")
    with pytest.raises(ValueError, match="learnin_rate"):
        load_config(tmp_path / "c.toml")
