"""Export to FP16 ONNX behind a parity gate, with model.json beside it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from protome.crops import CropRule

from .geometry import CROP, DEPTH, FINE, GRID, LEAST, NEAREST
from .identity import SCALE
from .network import GuidedNet

# From libfacedetection's box to the crop, measured on synthetic heads: side over sqrt(w * h) of
# the box, drop of its centre over its height, and the crop's row that this point comes to.
CROP_RULE = CropRule(side=2.06, drop=0.13, anchor=103.0)
MIN_IOU, MAX_DISTANCE = 0.998, 0.05
_BUCKETS = (1, 2, 4, 8)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Merges every Conv2d + BatchNorm2d pair of an eval-mode module, in place."""
    for child in module.children():
        fold_batch_norm(child)
    if isinstance(module, nn.Sequential):
        for k in range(len(module) - 1):
            conv, norm = module[k], module[k + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[k] = fuse_conv_bn_eval(conv, norm)
                module[k + 1] = nn.Identity()
    return module


Trust = tuple[float, float, float]


def expected_error(
    net: GuidedNet, crops: NDArray[np.uint8], landmarks: NDArray[np.float32]
) -> Trust:
    """How the network's doubt turns into the error of a landmark in px: constant and the weights
    of the heat's width and of the mirror image's distance, by least squares.

    crops (n, 192, 192, 3); landmarks (n, 68, 3) crop px, their true places.
    """
    truth = landmarks - landmarks.mean(1, keepdims=True) * np.array([0, 0, 1], np.float32)
    doubt, error = [], []
    for i in range(0, len(crops), 32):
        x = torch.from_numpy(crops[i : i + 32]).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            out = net.both_ways(x)
        doubt.append(out.doubt.mean(1).numpy())
        error.append(np.linalg.norm(out.landmarks.numpy() - truth[i : i + 32], axis=2).mean(1))
    d = np.concatenate(doubt)
    table = np.concatenate([np.ones((len(d), 1)), d], 1)
    weights = np.linalg.lstsq(table, np.concatenate(error), rcond=None)[0]
    return float(weights[0]), float(weights[1]), float(weights[2])


class ServedNet(nn.Module):
    """What is exported: uint8 crops (n, 192, 192, 3) -> uint8 occupancy (n, 100, 96, 96),
    landmarks (n, 68, 3), pose (n, 3, 4) from the head's own frame (cm, x to its left, y up, z
    forward, origin at the mean of the 68 landmarks) to the crop frame (px).

    Last comes landmark_error (n, 68): how far, in crop px, each landmark is expected to be off.

    served (68,): vertices given out as landmarks. fine: one more volume, (n, 200, 192, 192),
    after the first. trust: from `expected_error`.
    half: the convolutions compute in FP16; pose, posing and voxelising stay FP32, because FP16
    resolves only 0.125 px at the crop's far side.
    """

    served: Tensor

    def __init__(
        self,
        net: GuidedNet,
        served: NDArray[np.int32],
        half: bool,
        fine: bool = False,
        trust: Trust = (0.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.trust = trust
        self.register_buffer("served", torch.from_numpy(served.astype(np.int64)))
        self.net = copy.deepcopy(net).float().eval()
        self.net.amp = False
        fold_batch_norm(self.net)
        self.dtype = torch.float16 if half else torch.float32
        standard = self.net.voxeliser
        self.voxelisers = nn.ModuleList([standard, standard.at(FINE)] if fine else [standard])
        self.net.trunk.to(self.dtype)
        self.net.landmarks.mix.to(self.dtype)
        self.net.landmarks.maps.to(self.dtype)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        x = crops.permute(0, 3, 1, 2).to(self.dtype) * (1 / 255)
        out = self.net.both_ways(x)
        vertices, origin = self.net.placed(out)
        # Vertices of the posed head, not the heatmaps' points: they know the face's shape.
        landmarks = vertices[:, self.served]
        scaled = out.rotation * out.scale[:, None, None]
        forward = scaled * torch.tensor([1.0, -1.0, -1.0])  # canonical axes to the head's own
        pose = torch.cat([forward, (out.translation + origin)[:, :, None]], 2)
        volumes = [(v(vertices) * 255 + 0.5).to(torch.uint8) for v in self.voxelisers]
        constant, width, apart = self.trust
        error = (out.doubt[..., 0] * width + out.doubt[..., 1] * apart + constant).clamp(min=0.5)
        return (*volumes, landmarks, pose, error)


def _shrink(model: onnx.ModelProto, smallest: int = 1024) -> None:
    """Stores large FP32 initialisers as FP16 with a Cast behind them (arithmetic unchanged)."""
    graph = model.graph
    casts = []

    def store(value: NDArray[np.float32], name: str) -> None:
        half = numpy_helper.from_array(value.astype(np.float16), f"{name}_half")
        graph.initializer.append(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))

    for tensor in list(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= smallest:
            store(numpy_helper.to_array(tensor), tensor.name)
            graph.initializer.remove(tensor)
    for node in list(graph.node):
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= smallest:
                store(numpy_helper.to_array(tensor), node.output[0])
                graph.node.remove(node)
    for node in reversed(casts):
        graph.node.insert(0, node)


def write_onnx(
    net: GuidedNet,
    served: NDArray[np.int32],
    path: Path,
    half: bool = True,
    fine: bool = False,
    trust: Trust = (0.0, 1.0, 1.0),
) -> None:
    """Exports a trained network (EMA weights, any mode)."""
    module = ServedNet(net, served, half, fine, trust).eval()
    example = torch.zeros(2, CROP, CROP, 3, dtype=torch.uint8)
    names = ["occupancy", *(["fine"] if fine else []), "landmarks", "pose", "landmark_error"]
    with torch.no_grad():
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=["crops"],
            output_names=names,
            dynamic_axes={k: {0: "n"} for k in ("crops", *names)},
            opset_version=18,
            dynamo=False,
        )
    model = onnx.load(str(path))
    if half:
        _shrink(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """The FP16 model in FP32, as the service runs it on the CPU: initialisers widened, casts to
    FP16 become casts to FP32."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    for tensor in out.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            wide = numpy_helper.from_array(
                numpy_helper.to_array(tensor).astype(np.float32), tensor.name
            )
            tensor.CopyFrom(wide)
    half = TensorProto.FLOAT16
    for node in out.graph.node:
        for attribute in node.attribute:
            to = node.op_type == "Cast" and attribute.name == "to"
            if to and attribute.i == half:
                attribute.i = TensorProto.FLOAT
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == half:
                value = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(value))
    del out.graph.value_info[:]
    return out


@dataclass
class Parity:
    """Agreement of the exported model with the float32 network on a set of crops."""

    batch: int
    precision: str
    iou: float
    distance: float
    landmarks: float


def front_depth(occupancy: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Depth (n, 96, 96) px of the first surface along z; NaN where the column is empty."""
    volume = occupancy.astype(np.float32) / 255
    inside = volume >= 0.5
    k = inside.argmax(1)
    at = np.take_along_axis(volume, k[:, None], 1)[:, 0]
    before = np.take_along_axis(volume, np.maximum(k - 1, 0)[:, None], 1)[:, 0]
    before = np.where(k == 0, 0, before)
    depth = k - 0.5 + (0.5 - before) / np.maximum(at - before, 1e-6)
    return np.where(inside.any(1), depth, np.nan).astype(np.float32)


def compare(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[float, float]:
    """(smallest IoU, mean front surface distance px) of two stacks of occupancy."""
    inside_a, inside_b = a > 127, b > 127
    union = (inside_a | inside_b).sum((1, 2, 3))
    iou = (inside_a & inside_b).sum((1, 2, 3)) / np.maximum(union, 1)
    gap = np.abs(front_depth(a) - front_depth(b))
    return float(iou.min()), float(np.nanmean(np.minimum(gap, 20)))


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def parity(
    net: GuidedNet, served: NDArray[np.int32], path: Path, crops: NDArray[np.uint8]
) -> Iterator[Parity]:
    """Compares FP16 as stored and widened to FP32 with the network, per batch bucket."""
    with torch.no_grad():
        want, marks, _, _ = ServedNet(net, served, half=False).eval()(torch.from_numpy(crops))
    model = onnx.load(str(path))
    for precision, session in (("fp16", _session(model)), ("fp32", _session(widen(model)))):
        for batch in _BUCKETS:
            outs = [
                session.run(["occupancy", "landmarks"], {"crops": crops[i : i + batch]})
                for i in range(0, len(crops), batch)
            ]
            got = np.concatenate([o[0] for o in outs])
            far = np.concatenate([o[1] for o in outs]) - marks.numpy()
            iou, distance = compare(got, want.numpy())
            gap = float(np.linalg.norm(far, axis=-1).mean())
            yield Parity(batch, precision, iou, distance, gap)


TRAINING_DATA = (
    "Synthetic heads only: ICT-FaceKit light (MIT) rendered with CC0 skins (MakeHuman) and CC0 "
    "environments and procedural hair, clothes and backgrounds. No picture of a real "
    "person was used to train."
)


def _volume(name: str, times: int) -> dict[str, Any]:
    shape = ["n", DEPTH * times, GRID * times, GRID * times]
    return {"name": name, "dtype": "uint8", "shape": shape}


def describe(
    path: Path, name: str, version: str, extra: dict[str, Any], fine: bool = False
) -> dict[str, Any]:
    """The contents of model.json, as the service reads it; `extra` is for people."""
    return {
        "name": name,
        "version": version,
        "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "Apache-2.0",
        "training_data": TRAINING_DATA,
        "input": {"name": "crops", "dtype": "uint8", "shape": ["n", CROP, CROP, 3]},
        "outputs": {
            "STANDARD": _volume("occupancy", 1),
            **({"FINE": _volume("fine", 2)} if fine else {}),
        },
        "landmarks": {"name": "landmarks", "dtype": "float32", "shape": ["n", 68, 3]},
        "pose": {"name": "pose", "dtype": "float32", "shape": ["n", 3, 4]},
        "landmark_error": {"name": "landmark_error", "dtype": "float32", "shape": ["n", 68]},
        "crop_rule": asdict(CROP_RULE),
        "grid": {
            "axes": "z y x",
            "crop_side_px": CROP,
            "crop_depth_px": DEPTH,
            "px_per_cm": SCALE,
            "surface": 127.5,
        },
        "normalisation": "inside the graph: crops are 0 to 255 RGB as decoded",
        "conventions": {
            "input": "RGB",
            "occupancy": "depth, y, x; 255 inside, surface at 127.5; columns every 2 px from 1, "
            f"slices every 1 px from 0.5; the nearest point of the mean head at the same pose lies "
            f"at {NEAREST} px, unless the head's own would come before {LEAST} px",
            "landmarks": "68 points in Multi-PIE order, 0-16 along the jaw itself; crop px, z away "
            "from the camera, same origin as the slices",
            "landmark_error": "crop px each landmark is expected to be off: the heatmaps' width "
            "and the mirror image's opinion, calibrated on synthetic heads",
            "pose": "head frame (cm, x to its left, y up, z forward, origin at the mean of the "
            "68 landmarks) to crop px: scale * rotation | translation",
            "detector": "libfacedetection",
        },
        **extra,
    }


def export_model(
    net: GuidedNet,
    served: NDArray[np.int32],
    folder: Path,
    crops: NDArray[np.uint8],
    name: str,
    version: str,
    extra: dict[str, Any],
    fine: bool = False,
    trust: Trust = (0.0, 1.0, 1.0),
) -> list[Parity]:
    """Writes model.onnx, model.json and parity.json; raises, leaving no model, if FP16 strays."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / ".model.onnx"
    write_onnx(net, served, scratch, fine=fine, trust=trust)
    rows = list(parity(net, served, scratch, crops))
    if bad := [r for r in rows if r.iou < MIN_IOU or r.distance > MAX_DISTANCE]:
        scratch.unlink()
        raise ValueError(f"the exported model strays from the network: {bad[0]}")
    path = folder / "model.onnx"
    scratch.rename(path)
    card = describe(path, name, version, extra, fine)
    (folder / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    report = {"crops": len(crops), "rows": [vars(r) for r in rows], "digest": card["digest"]}
    (folder / "parity.json").write_text(json.dumps(report, indent=2) + "\n")
    return rows
