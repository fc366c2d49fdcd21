import time
from dataclasses import replace
from pathlib import Path

import pytest

from protome_export.training.config import Config
from protome_export.training.reader.trainer import Trainer
from protome_export.training.render_processes import Renderers
from protome_export.training.shards import find_shards, read_shard
from tests.export.conftest import CONFIG

pytestmark = pytest.mark.slow


@pytest.fixture
def config(mesh: Path) -> Config:
    return replace(CONFIG, facemesh=str(mesh))


def test_a_run_renders_what_it_trains_on(config: Config, tmp_path: Path) -> None:
    config = replace(
        config, shards=str(tmp_path / "shards"), out=str(tmp_path / "run"), renderers=2, fresh=4,
        shard=2,
    )  # fmt: skip
    trainer = Trainer(config)
    trainer.run()
    assert trainer.step == 2
    first, *rest = find_shards(tmp_path / "shards")
    assert len(read_shard(first).images) == 2
    assert all(read_shard(p).images.shape[0] == 2 for p in rest)


def test_renderers_end_with_the_run_and_leave_nothing_half_done(
    config: Config, tmp_path: Path
) -> None:
    config = replace(config, shards=str(tmp_path), renderers=1, fresh=100_000, shard=2)
    with Renderers(config, "cpu") as renderers:
        deadline = time.monotonic() + 60
        while not find_shards(tmp_path) and time.monotonic() < deadline:
            renderers.check()
            time.sleep(0.1)
    assert all(p.poll() is not None for p in renderers.processes)
    assert all(len(read_shard(p).images) == 2 for p in find_shards(tmp_path))
    assert find_shards(tmp_path)


def test_a_renderer_that_fails_ends_the_run(config: Config, tmp_path: Path) -> None:
    config = replace(
        config, shards=str(tmp_path / "shards"), out=str(tmp_path / "run"), renderers=1, fresh=4
    )
    trainer = Trainer(config)
    trainer.c = replace(config, head=str(tmp_path / "missing.npz"))
    with pytest.raises(RuntimeError, match="a renderer ended"):
        trainer.run()


def test_nothing_to_train_on_is_an_error(config: Config, tmp_path: Path) -> None:
    config = replace(config, shards=str(tmp_path / "none"), out=str(tmp_path / "run"))
    with pytest.raises(FileNotFoundError, match="no shards in"):
        Trainer(config).run()
