"""How far to rely on a mesh: figures of each face and of each vertex."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from typing import Any, Final

import grpc
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageFilter
from scipy.spatial import cKDTree

from protome.client import Client, Face
from protome.embedded import EmbeddedServer
from protome.model.card import SHIPPED
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.photos import FACE, covered, opened, saved
from tests.support.service import F64, ONE_WORKER, OPTIONS, Answer, Stub, ask, refused, to_photo

CARD: Final[Any] = json.loads((SHIPPED / "model.json").read_text(encoding="utf-8"))
NOSE_TIP: Final = 30
CHIN: Final = 8
# Expected errors of the network that tells, crop pixels: of the jaw (landmarks 0 to 16) and inside.
JAW, INSIDE = 30.0, 1.0


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    with Client(server.address) as opened_:
        yield opened_


def judged(client: Client, picture: Image.Image) -> tuple[Face, set[str]]:
    """The one face of a picture and what speaks against it, bar the network's own doubts."""
    (face,) = client.reconstruct(saved(picture, "PNG", compress_level=1), detail="preview").faces
    assert face.outcome == "RECONSTRUCTED"
    return face, set(face.concerns) - {"LOW_CONFIDENCE"}


def test_the_sample_photo_has_no_concerns(client: Client, sample_photo: bytes) -> None:
    (face,) = client.reconstruct(sample_photo, detail="preview").faces
    assert face.concerns == ()
    assert (face.confidence is not None) == ("confidence" in CARD)
    if face.confidence is not None:
        assert 0.5 <= face.confidence <= 1


def test_a_far_face_has_the_concern_few_pixels(client: Client, sample_photo: bytes) -> None:
    far = Image.new("RGB", (400, 400), (90, 110, 130))
    far.paste(opened(sample_photo).resize((140, 140), Image.Resampling.LANCZOS), (130, 130))
    face, concerns = judged(client, far)
    assert face.box[2] < 30
    assert "FEW_PIXELS" in concerns
    assert "CUT_BY_BORDER" not in concerns


def test_a_blurred_face_has_the_concern_blurred(client: Client, sample_photo: bytes) -> None:
    _, concerns = judged(client, opened(sample_photo).filter(ImageFilter.GaussianBlur(4)))
    assert concerns == {"BLURRED"}


@pytest.mark.parametrize("what", ["mask", "sunglasses", "book"])
def test_a_covered_face_has_the_concern_covered(
    client: Client, sample_photo: bytes, what: str
) -> None:
    _, concerns = judged(client, opened(covered(sample_photo, what)))
    assert concerns == {"COVERED"}


@pytest.mark.parametrize("side", ["left", "right", "bottom"])
def test_a_face_at_the_border_has_the_concern_cut_by_border(
    client: Client, sample_photo: bytes, side: str
) -> None:
    photo = opened(sample_photo)
    x, y, width, height = FACE
    left = round(x + 0.4 * width) if side == "left" else 0
    right = round(x + 0.6 * width) if side == "right" else photo.width
    bottom = round(y + 0.7 * height) if side == "bottom" else photo.height
    _, concerns = judged(client, photo.crop((left, 0, right, bottom)))
    assert concerns == {"CUT_BY_BORDER"}


def wanting(photo: bytes, format_: str = "GLB", compression: str = "NONE", **more: Any) -> Any:
    """A request for the quality of each vertex."""
    return pb.ReconstructRequest(
        image=photo,
        formats=[pb.MeshFormat.Value(f"MESH_FORMAT_{format_}")],
        compressions=[pb.Compression.Value(f"COMPRESSION_{compression}")],
        vertex_quality=True,
        **more,
    )


def vertices(answer: Answer) -> tuple[F64, F64, F64]:
    """Positions, seen and confidence of the one mesh, checked for what always holds."""
    assert answer.header.vertex_quality
    positions = np.asarray(readers.read(answer.mesh(), answer.header).vertices, np.float64)
    seen, confidence = readers.vertex_quality(answer.mesh(), answer.header)
    assert len(positions) == len(seen) == len(confidence)
    assert set(np.unique(seen)) == {0, 1}
    assert 0 <= confidence.min() <= confidence.max() <= 1
    return positions, seen, confidence


@pytest.mark.parametrize(
    ("format_", "compression", "appearance"),
    [
        ("GLB", "NONE", pb.APPEARANCE_NONE),
        ("GLB", "NONE", pb.APPEARANCE_TEXTURE),
        ("GLB", "DRACO", pb.APPEARANCE_VERTEX_COLOURS),
        ("GLB", "MESHOPT", pb.APPEARANCE_TEXTURE),
        ("PLY", "NONE", pb.APPEARANCE_VERTEX_COLOURS),
    ],
)
@pytest.mark.parametrize("max_triangles", [0, 2000])
def test_the_nose_is_seen_and_the_back_of_the_head_is_not(
    stub: Stub,
    sample_photo: bytes,
    format_: str,
    compression: str,
    appearance: pb.Appearance.ValueType,
    max_triangles: int,
) -> None:
    request = wanting(
        sample_photo,
        format_,
        compression,
        appearance=appearance,
        max_triangles=max_triangles,
    )
    answer = ask(stub, request)
    positions, seen, confidence = vertices(answer)
    if max_triangles:
        assert answer.summary.faces[0].meshes[0].triangles <= max_triangles
    x, y, z = positions.T
    tip = positions[z.argmax()]
    nose = z > z.max() - 0.003
    # Ears look out from beside the back of the head, but not from behind the face.
    back = (z < z.min() + 0.03) & (np.hypot(x - tip[0], y - tip[1]) < 0.05)
    assert seen[nose].min() == 1
    assert seen[back].max() == 0
    assert confidence[back].max() < confidence[nose].min()
    assert 0.2 < seen.mean() < 0.7


def test_meshes_without_vertex_quality_are_unchanged(stub: Stub, sample_photo: bytes) -> None:
    request = wanting(sample_photo)
    request.vertex_quality = False
    answer = ask(stub, request)
    assert not answer.header.vertex_quality
    assert readers.attributes(answer.mesh()) == {"POSITION", "NORMAL"}


def test_a_preview_carries_vertex_quality(stub: Stub, sample_photo: bytes) -> None:
    answer = ask(stub, wanting(sample_photo, preview_first=True))
    preview = answer.mesh(detail=pb.DETAIL_LEVEL_PREVIEW)
    for data in (preview, answer.mesh()):
        assert {"_SEEN", "_CONFIDENCE"} <= readers.attributes(data)


def test_beyond_the_border_there_is_no_confidence(stub: Stub, sample_photo: bytes) -> None:
    photo = opened(sample_photo)
    middle = round(FACE[0] + FACE[2] / 2)
    cut = saved(photo.crop((middle, 0, photo.width, photo.height)), "PNG", compress_level=1)
    box = pb.BoundingBox(x=-FACE[2] / 2 + 1, y=FACE[1], width=FACE[2], height=FACE[3])
    answer = ask(stub, wanting(cut, boxes=[box]))
    positions, seen, confidence = vertices(answer)
    x = to_photo(answer.header.faces[0], positions)[:, 0]
    assert (x < -5).any()
    assert seen[x < 0].max() == 0
    assert confidence[x < -0.1].max() == 0
    assert confidence[x > 0.1].min() > 0


@pytest.mark.parametrize("format_", ["OBJ", "STL"])
def test_formats_without_vertex_quality_are_refused(
    stub: Stub, sample_photo: bytes, format_: str
) -> None:
    failure = refused(stub, wanting(sample_photo, format_))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "INVALID_REQUEST"
    assert failure.metadata["field"] == "vertex_quality"
    assert format_ in failure.message


def test_the_client_can_ask_for_vertex_quality(client: Client, sample_photo: bytes) -> None:
    result = client.reconstruct(sample_photo, vertex_quality=True, formats=["ply"])
    assert result.header.vertex_quality
    assert b"property uchar seen\nproperty float confidence\n" in result.faces[0].mesh


@pytest.fixture(scope="module")
def doubting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    """A server whose network expects other errors of the jaw than of the rest of the face."""
    folder = tmp_path_factory.mktemp("doubting")
    network = onnx.load(SHIPPED / "model.onnx")
    errors = np.where(np.arange(68) < 17, JAW, INSIDE).astype(np.float32)
    network.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros(3, np.float32), "nothing"),
            numpy_helper.from_array(errors, "doubts"),
        ]
    )
    network.graph.node.extend(
        [
            helper.make_node("MatMul", [CARD["landmarks"]["name"], "nothing"], ["nothings"]),
            helper.make_node("Add", ["nothings", "doubts"], ["doubted"]),
        ]
    )
    network.graph.output.append(
        helper.make_tensor_value_info("doubted", TensorProto.FLOAT, ["n", 68])
    )
    data = network.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    shutil.copy(SHIPPED / "head.npz", folder)
    card = CARD | {
        "digest": hashlib.sha256(data).hexdigest(),
        "landmark_error": {"name": "doubted", "dtype": "float32", "shape": ["n", 68]},
        "confidence": {"offset": -9.0, "slope": -3.0, "within": 0.04},
    }
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    with (
        EmbeddedServer([*ONE_WORKER, "--model-dir", str(folder)]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        yield Stub(channel)


def test_confidence_follows_the_errors_the_network_expects(
    doubting: Stub, sample_photo: bytes
) -> None:
    answer = ask(doubting, wanting(sample_photo))
    positions, seen, confidence = vertices(answer)
    report = answer.summary.faces[0]
    assert report.HasField("confidence")
    marks = np.array([(p.x, p.y, p.z) for p in report.landmarks])
    tree = cKDTree(to_photo(answer.header.faces[0], positions))
    nearest = np.asarray(tree.query(marks)[1])
    nose, chin = nearest[[NOSE_TIP, CHIN]]
    assert seen[nose] == 1
    assert confidence[nose] > 0.9
    assert confidence[nose] > report.confidence > confidence[chin]
    assert confidence[chin] < 0.1


def test_low_confidence_is_a_concern(doubting: Stub, sample_photo: bytes) -> None:
    report = ask(doubting, wanting(sample_photo)).summary.faces[0]
    # A quarter of the landmarks off by 30 pixels: over 8 % of the face on average.
    assert report.confidence < 0.5
    assert list(report.concerns) == [pb.CONCERN_LOW_CONFIDENCE]
