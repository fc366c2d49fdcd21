from __future__ import annotations

from protome.mesh.shape.head import Region
from protome_export.heads.model import HeadModel
from protome_export.heads.solid import build_solid
from protome_export.release.head_file import describe_head


def test_skin_outside_of_the_face_is_behind(head: HeadModel) -> None:
    described, solid = describe_head(head), build_solid(head)
    inner, v = (
        solid.landmarks[[30, 33, 36, 39, 42, 45, 48, 51, 54, 57]],
        solid.vertices(head.neutral),
    )
    assert (described.region[inner] == Region.SKIN).all()
    assert (described.region[v[:, 2] < 0] == Region.BEHIND).all()
    behind = described.region == Region.BEHIND
    assert (described.guard[behind] > 0.5).any(), "hair is kept off some of it"
