import gzip
from pathlib import Path

import numpy as np
import pytest

from protome_export.heads import load, model
from protome_export.heads.load import load_head, pack_head, read_checkout
from protome_export.heads.model import HeadModel

SHARED = Path(__file__).parents[4] / "shared" / "data"


def test_packed_head_reads_back(head: HeadModel, tmp_path: Path) -> None:
    pack_head(head, tmp_path / "head.npz")
    again = load_head(tmp_path / "head.npz")
    assert np.array_equal(again.neutral, head.neutral)
    assert np.array_equal(again.triangles_uv, head.triangles_uv)
    assert again.expression_names == head.expression_names
    assert np.abs(again.identity - head.identity).max() < 2e-3
    assert np.array_equal(again.part, head.part)


def _obj(vertices: np.ndarray) -> str:
    rows = ["# a square and a triangle", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices)]
    rows += [f"vt {i / 10} {i / 20}" for i in range(5)]
    rows += ["usemtl M_Face", "f 1/1 2/2 3/3 4/4", "usemtl M_Teeth", "f 2/2 5/5 3/3"]
    return "\n".join(rows) + "\n"


def test_checkout_reader_splits_polygons_and_takes_deltas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neutral = np.random.default_rng(0).standard_normal((5, 3))
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    (folder / "generic_neutral_mesh.obj").write_text(_obj(neutral))
    with gzip.open(folder / "identity000.obj.gz", "wt") as f:
        f.write(_obj(neutral + np.array([0, 0, 1])))
    (folder / "jawOpen.obj").write_text(_obj(neutral - [0, 2, 0]))
    (folder / "vertex_indices.json").write_text(
        '{"idx_to_landmark_verts": %s, "expressions": ["browDown_L", "jawOpen"]}' % ([1] * 68)
    )
    monkeypatch.setattr(load, "ICT_VERTICES", 5)
    monkeypatch.setattr(load, "_ICT_PARTS", ((0, 4, model.FACE), (4, 5, model.TEETH)))
    head = read_checkout(tmp_path)
    assert head.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2]]
    assert head.triangles_uv.tolist() == head.triangles.tolist()
    assert [head.material_names[m] for m in head.triangle_material] == [
        "M_Face", "M_Face", "M_Teeth",
    ]  # fmt: skip
    assert head.expression_names == ("jawOpen",)
    assert np.allclose(head.identity, [[[0, 0, 1]] * 5], atol=1e-5)
    assert np.allclose(head.expression, [[[0, -2, 0]] * 5], atol=1e-5)
    assert head.part.tolist() == [model.FACE] * 4 + [model.TEETH]


def test_foreign_topology_is_refused() -> None:
    with pytest.raises(ValueError, match="topology"):
        load.ict_parts(100)


@pytest.mark.skipif(not (SHARED / "ict_facekit.npz").exists(), reason="needs the ICT model")
def test_checkout_and_packed_model_agree() -> None:
    packed = load_head(SHARED / "ict_facekit.npz")
    read = load_head(SHARED / "ict_facekit_checkout_sample")
    assert np.array_equal(packed.neutral, read.neutral)
    assert np.array_equal(packed.triangles, read.triangles)
    assert np.array_equal(packed.landmarks, read.landmarks)
    jaw = packed.expression[packed.expression_names.index("jawOpen")]
    assert np.abs(read.expression[read.expression_names.index("jawOpen")] - jaw).max() < 2e-3
