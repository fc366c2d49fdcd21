import numpy as np

from protome_export.heads.solid import mirror_vertices
from protome_export.render.sample import Synthesizer
from protome_export.training.shape_space import Poser, ShapeSpace, canonical_heads
from protome_export.training.shards import labels_of


def test_modes_describe_new_heads(
    synthesizer: Synthesizer, poser: Poser, space: ShapeSpace
) -> None:
    labels = labels_of(synthesizer.samples(list(range(500, 512))))
    heads = canonical_heads(poser, labels, space.canonical68)
    k = space.coefficients(heads)
    rebuilt = space.mean + np.einsum("bk,knd->bnd", k, space.modes)
    bare = np.linalg.norm(heads - space.mean, axis=-1).mean()
    assert np.linalg.norm(heads - rebuilt, axis=-1).mean() < 0.5 * bare
    assert 0.3 < k.std() < 3  # unit variance, more or less


def test_posed_head_meets_the_rendered_landmarks(synthesizer: Synthesizer, poser: Poser) -> None:
    labels = labels_of(synthesizer.samples([11, 12]))
    crop = poser.crop_frame(labels, np.arange(2))
    assert np.allclose(crop[:, poser.solid.landmarks], labels.landmarks, atol=0.02)


def test_mirrored_coefficients_mirror_the_head(space: ShapeSpace) -> None:
    rng = np.random.default_rng(0)
    k = rng.standard_normal(len(space.modes)).astype(np.float32)
    head = space.mean + np.einsum("k,knd->nd", k, space.modes)
    twin = space.mean + np.einsum("k,knd->nd", space.mirror @ k, space.modes)
    want = head[mirror_vertices(space.mean)] * [-1, 1, 1]
    error = np.linalg.norm(twin - want, axis=1).mean()
    # The tiny head's mesh is not quite symmetric, so the twin is only about right.
    assert error < 0.5 * np.linalg.norm(head - want, axis=1).mean()


def test_space_reads_back(space: ShapeSpace, tmp_path) -> None:  # type: ignore[no-untyped-def]
    space.save(tmp_path / "space.npz")
    again = ShapeSpace.load(tmp_path / "space.npz")
    for name, value in vars(space).items():
        assert np.array_equal(value, getattr(again, name)), name
