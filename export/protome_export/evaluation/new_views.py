"""Compare coloured meshes with the truth from views that the photo does not have.

A synthetic head is rendered from the front and, in the same light, from both sides. The service
makes a mesh of the first picture; drawn without light from the other views it shall look like the
true pictures, inside the true head's mask down to 2 cm below the chin. Where the mesh covers
nothing it counts as mid-grey. Cameras are orthographic, pictures have no noise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from protome.client import Client
from protome.demo.mesh_file import read_mesh
from protome.demo.render import Model3D
from protome.errors import ProtomeError
from protome.mesh.colour.mesh import Appearance
from protome.mesh.files.encode import Compression, Encoding, Format
from protome.model.card import load_model
from protome.pipeline.local import LocalPipeline
from protome.pipeline.request import Request
from protome_export.heads.model import Floats
from protome_export.heads.pose import CENTRE, CROP, Camera, make_camera, rotation, sample_shape
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.drawing.raster import gbuffer
from protome_export.render.drawing.view import View
from protome_export.render.looks.backdrop import sample_backdrops
from protome_export.render.sample import Synthesizer

TURNS = (0.0, -30.0, 30.0, -60.0, 60.0)
_GREY = 128.0
_FIRST = 10_000_000  # seed of the first head, beyond those of training
_BELOW_CHIN = 2.0  # cm
_BRIGHTNESS = 0.27  # mean linear light of the head in its photo
# Photos show faces from about the front.
_CALM = np.array([0.35, 0.5, 0.3])

U8 = NDArray[np.uint8]


@dataclass
class Views:
    """Pictures of one head.

    Attributes:
        photo: (CROP, CROP, 3) uint8 RGB, with a background.
        cameras: of each view, the first one the photo's.
        pictures: (V, CROP, CROP, 3) float32 RGB, 0 to 255.
        masks: (V, CROP, CROP) bool, the head.
        landmarks: (68, 3) cm, head frame.
    """

    photo: U8
    cameras: list[Camera]
    pictures: Floats
    masks: NDArray[np.bool_]
    landmarks: Floats


@dataclass
class Made:
    """A mesh and where it lies.

    Attributes:
        model: positions in metres.
        to_photo: (4, 4) from metres to photo pixels, z towards the camera.
        landmarks: (68, 3) photo pixels.
    """

    model: Model3D
    to_photo: NDArray[np.float64]
    landmarks: Floats


Make = Callable[[bytes], Made | None]


def render_views(synthesizer: Synthesizer, seeds: Sequence[int]) -> Iterator[Views]:
    """Render the heads of some seeds from all views."""
    for start in range(0, len(seeds), synthesizer.together):
        with torch.inference_mode():
            yield from _batch(synthesizer, seeds[start : start + synthesizer.together])


def _batch(synthesizer: Synthesizer, seeds: Sequence[int]) -> list[Views]:
    device, renderer = synthesizer.device, synthesizer.renderer
    shapes = [sample_shape(np.random.default_rng(k), synthesizer.head) for k in seeds]
    for shape in shapes:
        yaw, pitch, roll = (float(a) for a in np.array(shape.angles) * _CALM)
        shape.angles, shape.distance = (yaw, pitch, roll), float("inf")
    vertices = synthesizer.shaper.vertices(shapes)
    landmarks = vertices[:, renderer.landmarks].cpu().numpy()
    front = [make_camera(s, p) for s, p in zip(shapes, landmarks, strict=True)]
    cameras = [[_turned(camera, turn) for camera in front] for turn in TURNS]
    lit = View.of(front, device)
    layers = [
        renderer.heads(
            Dice(seeds, 1, device), vertices, lit, None, View.of(view, device) if k else None
        )
        for k, view in enumerate(cameras)
    ]
    gain = _BRIGHTNESS / (layers[0].light.mean(1).sum((1, 2)) / layers[0].cover.sum((1, 2)))
    dice = Dice(seeds, 0, device)
    behind = sample_backdrops(dice, synthesizer.assets, synthesizer.noise, CROP)
    photo = behind * (1 - layers[0].cover[:, None]) + layers[0].light * gain.view(-1, 1, 1, 1)
    pictures = torch.stack(
        [x.light / x.cover[:, None].clamp(min=1e-3) * gain.view(-1, 1, 1, 1) for x in layers], 1
    )
    masks = torch.stack([x.face for x in layers], 1) > 0.9
    return [
        Views(
            _developed(photo[k]).round().astype(np.uint8),
            [view[k] for view in cameras],
            np.stack([_developed(p) for p in pictures[k]]),
            masks[k].cpu().numpy(),
            landmarks[k],
        )
        for k in range(len(seeds))
    ]


def _turned(camera: Camera, turn: float) -> Camera:
    """Turn the head under a camera about the picture's vertical axis; 0 leaves it."""
    if not turn:
        return camera
    turned = rotation(turn, 0, 0) @ camera.rotation
    return replace(camera, rotation=turned.astype(np.float32), origin=CENTRE)


def _developed(light: torch.Tensor) -> Floats:
    """Turn linear light, (3, S, S), into display colours, (S, S, 3), 0 to 255."""
    colours = light.clamp(0, 1) ** (1 / 2.2) * 255
    return np.ascontiguousarray(colours.permute(1, 2, 0).cpu().numpy(), np.float32)


def model_of(data: bytes) -> Model3D:
    """Read a GLB."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "face.glb"
        file.write_bytes(data)
        return read_mesh(file)


def made_here(pipeline: LocalPipeline) -> Make:
    """Make meshes with this release."""
    encoding = Encoding(Format.GLB, Compression.NONE, Appearance.TEXTURE)

    def make(photo: bytes) -> Made | None:
        try:
            prepared, faces = pipeline.reconstruct(Request(photo, max_faces=1, encoding=encoding))
        except ProtomeError:
            return None
        placement = prepared.faces[faces[0].task.index].placement if faces else None
        if placement is None or not faces[0].meshes:
            return None
        marks = faces[0].prediction.landmarks
        assert marks is not None
        rows = np.concatenate([marks, np.ones((len(marks), 1))], axis=1)
        in_photo = (rows @ placement.crop_to_photo().T)[:, :3].astype(np.float32)
        return Made(model_of(faces[0].meshes[0].data), placement.mesh_to_photo(), in_photo)

    return make


def made_there(address: str) -> Make:
    """Make meshes with the server at an address, of another release."""
    client = Client(address)

    def make(photo: bytes) -> Made | None:
        answer = client.reconstruct(photo)
        faces = [(f, s) for f, s in zip(answer.faces, answer.summary.faces, strict=True) if f.mesh]
        if not faces:
            return None
        face, summary = faces[0]
        assert face.mesh_to_photo is not None
        marks = np.array([(p.x, p.y, p.z) for p in summary.landmarks], np.float32)
        return Made(model_of(face.mesh), np.array(face.mesh_to_photo), marks)

    return make


def picture_of(made: Made, views: Views, view: int) -> Floats:
    """Draw a mesh without light from one of the views, (CROP, CROP, 3), 0 to 255."""
    front, camera = views.cameras[0], views.cameras[view]
    model = made.model
    rows = np.concatenate([model.positions, np.ones((len(model.positions), 1))], axis=1)
    points = (rows @ made.to_photo.T)[:, :3]
    # A photo does not tell the distance: the landmarks' mean depth is made the true one.
    true = front.turn(views.landmarks)[:, 2] * front.scale
    points[:, 2] += true.mean() - made.landmarks[:, 2].mean()
    offset = (points - [*front.origin, 0]) * [1, -1, 1]
    turned = offset @ (camera.rotation @ front.rotation.T).T
    shown = turned * [1, -1, 1] + [*camera.origin, 0]
    triangles = model.triangles.astype(np.int32)
    _, ids, bary = gbuffer(np.ascontiguousarray(shown, np.float32), triangles, CROP)
    out = np.full((CROP, CROP, 3), _GREY, np.float32)
    hit = ids >= 0
    weights = np.concatenate([bary, 1 - bary.sum(-1, keepdims=True)], -1)[hit]
    assert model.uv is not None
    assert model.picture is not None
    uv = (model.uv[triangles[ids[hit]]] * weights[..., None]).sum(1)
    size = np.array(model.picture.shape[1::-1], np.float32)
    spots = np.zeros((*hit.shape, 2), np.float32)
    spots[hit] = uv * size - 0.5
    x, y = (np.ascontiguousarray(spots[:, :, k], np.float32) for k in (0, 1))
    drawn = cv2.remap(model.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    out[hit] = drawn[hit]
    return out


def errors(made: Made | None, views: Views) -> Floats:
    """Compute the mean absolute colour error of each view, (V,); NaN for all without a mesh."""
    if made is None:
        return np.full(len(TURNS), np.nan, np.float32)
    out = []
    for k, camera in enumerate(views.cameras):
        chin = camera.project(views.landmarks[8:9])[0, 1] + _BELOW_CHIN * camera.scale
        mask = views.masks[k] & (np.arange(CROP)[:, None] < chin)
        out.append(np.abs(picture_of(made, views, k) - views.pictures[k])[mask].mean())
    return np.array(out, np.float32)


def compare(
    synthesizer: Synthesizer, seeds: Sequence[int], makers: dict[str, Make]
) -> dict[str, dict[str, float]]:
    """Return each maker's mean error by view, of the heads that all of them found a face in."""
    rows: dict[str, list[Floats]] = {name: [] for name in makers}
    for views in render_views(synthesizer, seeds):
        _, code = cv2.imencode(".png", views.photo[..., ::-1])
        for name, make in makers.items():
            rows[name].append(errors(make(code.tobytes()), views))
    table = {name: np.stack(row) for name, row in rows.items()}
    found = np.all([np.isfinite(t).all(1) for t in table.values()], axis=0)
    out = {}
    for name, all_rows in table.items():
        means = all_rows[found].mean(0)
        turned = means[1:]
        out[name] = {f"{turn:+.0f}": float(m) for turn, m in zip(TURNS, means, strict=True)}
        out[name] |= {"turned": float(turned.mean()), "heads": float(found.sum())}
    return out


def table(results: dict[str, dict[str, float]]) -> str:
    """Format a Markdown table, one column for each maker."""
    names = list(results)
    lines = [f"| view | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for row in results[names[0]]:
        cells = " | ".join(f"{results[name][row]:.2f}" for name in names)
        lines.append(f"| {row} | {cells} |")
    return "\n".join(lines)


def evaluate_new_views(
    model: Path, head: str, data: Path | None, count: int, other: str | None
) -> str:
    """Return the table of this release and, if there is an address, of another one's server.

    Args:
        model: folder with model.onnx and model.json.
        head: see `Synthesizer.load`.
        data: see `Synthesizer.load`.
        count: of heads.
        other: address of the other release's server.
    """
    makers: dict[str, Make] = {"this release": made_here(LocalPipeline(load_model(model)))}
    if other:
        makers["other release"] = made_there(other)
    seeds = range(_FIRST, _FIRST + count)
    return table(compare(Synthesizer.load(head, data), seeds, makers))
