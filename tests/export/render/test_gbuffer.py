import numpy as np
import torch

from protome_export.heads.model import HeadModel
from protome_export.heads.pose import rotation
from protome_export.render.drawing import raster
from protome_export.render.gbuffer import Cutout, GBuffer, depth_maps, draw, scattered


def _heads(head: HeadModel, size: int = 96) -> torch.Tensor:
    turned = [head.neutral @ rotation(yaw, 10, 5).T for yaw in (0, 70)]
    pixels = np.stack(turned) * [size / 30, -size / 30, size / 30] + [size / 2, size / 2, 0]
    return torch.from_numpy(pixels.astype(np.float32))


def _agree(a: GBuffer, b: GBuffer) -> None:
    assert float((a.ids == b.ids).float().mean()) > 0.999
    same = a.ids == b.ids
    assert torch.allclose(a.depth[same], b.depth[same], atol=1e-3)
    assert torch.allclose(a.bary[same], b.bary[same], atol=1e-3)
    assert 0.1 < float((a.ids >= 0).float().mean()) < 0.9


def test_both_rasterisers_see_the_same(head: HeadModel) -> None:
    """The scatter, made for GPUs, against the CPU's kernel."""
    v, t = _heads(head), head.triangles.astype(np.int32)
    drawn = torch.ones(2, len(t), dtype=torch.bool)
    _agree(draw(v, t, drawn, 96), scattered(v, t, drawn, 96, None))
    drawn[1, ::2] = False
    buffer = draw(v, t, drawn, 96)
    _agree(buffer, scattered(v, t, drawn, 96, None))
    assert not (buffer.ids[1] % 2 == 0).any()
    depth = depth_maps(v, t, drawn, 96)
    assert torch.equal(depth, buffer.depth)
    assert (depth[buffer.ids < 0] == raster.NOTHING).all()


def test_both_rasterisers_cut_out_alike(head: HeadModel) -> None:
    v, t = _heads(head), head.triangles.astype(np.int32)
    drawn = torch.ones(2, len(t), dtype=torch.bool)
    rng = np.random.default_rng(1)
    uv = (head.neutral[:, :2] / 40 + 0.5).clip(0, 1).astype(np.float32)
    alpha = torch.from_numpy(rng.normal(0, 1, (2, 12, 12)).astype(np.float32))
    cut = Cutout(alpha, uv, 0, len(t) // 2)
    whole, holes = draw(v, t, drawn, 96), draw(v, t, drawn, 96, cut)
    _agree(holes, scattered(v, t, drawn, 96, cut))
    assert not torch.equal(whole.ids, holes.ids)
    assert (holes.depth <= whole.depth + 1e-4).all()


def test_nothing_outside_the_picture_is_drawn() -> None:
    v = torch.tensor([[[-50.0, 2, 0], [-40, 2, 0], [-45, 9, 0], [3, 3, 1], [30, 3, 1], [3, 30, 1]]])
    t = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    both = draw(v, t, torch.ones(1, 2, dtype=torch.bool), 16)
    assert set(both.ids.flatten().tolist()) == {-1, 1}
    scatter = scattered(v, t, torch.ones(1, 2, dtype=torch.bool), 16, None)
    assert torch.equal(both.ids, scatter.ids)
