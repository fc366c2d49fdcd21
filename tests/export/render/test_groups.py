"""Groups in pictures: tone-mapped skins, looks by age, labels in shards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from protome_export.cli import main
from protome_export.evaluation.groups import MEASURES, evaluate_groups, group_table
from protome_export.evaluation.service import Served
from protome_export.heads.model import HeadModel
from protome_export.render.looks.assets import darkened, tone_curves
from protome_export.render.sample import Synthesizer
from protome_export.training.shape_space import Poser
from protome_export.training.shards import find_shards, read_shard
from tests.export.runs import space_of


def test_tone_curves_map_one_skin_to_the_other() -> None:
    rng = np.random.default_rng(0)
    light = rng.uniform(0.2, 0.8, (32, 32, 3))
    dark = 0.5 + 1.5 * light**2
    curves = tone_curves(light, dark)
    assert np.abs(darkened(light, curves) - dark).max() < 0.05
    ends = darkened(np.array([[0.0] * 3, [0.1] * 3, [1.5] * 3]), curves)
    assert (np.diff(ends, axis=0) > 0).all()  # monotone beyond the quantiles too


def test_dark_women_are_added_after_the_painted_skins(synthesizer: Synthesizer) -> None:
    assets = synthesizer.assets
    assert assets.skins == ("light_female", "light_male", "dark_male", "dark_female")
    assert assets.painted == 3
    assert float(assets.density[3].mean()) > float(assets.density[0].mean()) + 0.5


def test_seeds_give_the_samples_they_gave(synthesizer: Synthesizer) -> None:
    samples = synthesizer.samples([0, 1, 2])
    assert [float(s.image.mean()) for s in samples] == pytest.approx(
        [119.298, 172.833, 147.763], abs=0.02
    )
    tips = [s.landmarks[30] for s in samples]
    want = [[130.601, 107.371, -25.774], [142.352, 122.282, 7.611], [102.874, 121.532, -21.478]]
    assert np.allclose(tips, want, atol=0.01)


def test_samples_without_a_group_use_painted_skins_only(synthesizer: Synthesizer) -> None:
    assert synthesizer._looks([]) is None
    assert synthesizer.renderer.skins._choices(None) == [0, 1, 2]


@pytest.mark.parametrize("group", ["light_female", "light_male", "dark_female", "dark_male"])
def test_skin_groups_label_their_samples(head: HeadModel, group: str) -> None:
    samples = Synthesizer(head, None, group=group).samples(list(range(6)))
    assert {s.skin for s in samples} == {group}
    assert {s.shape.age for s in samples} == {"adult"}


def test_evaluation_has_a_row_per_group(
    run: Path, exported: Path, poser: Poser, tmp_path: Path
) -> None:
    for seed, group in ((0, "dark_female"), (10, "light_male")):
        main(["generate", "--group", group, "--count", "2", "--seed", str(seed), str(tmp_path)])
    labels = read_shard(find_shards(tmp_path)[0]).labels
    assert labels.skin is not None
    assert labels.skin.tolist() == ["dark_female"] * 2
    rows = evaluate_groups(Served(exported), tmp_path, poser, space_of(run), 2)
    assert list(rows) == ["light_male", "dark_female"]
    assert all(np.isfinite(rows["dark_female"][m]) for m in MEASURES)
    assert rows["dark_female"]["count"] == 2
    assert "| dark female | 2 |" in group_table(rows)
    json.dumps(rows)
