"""Export a network to FP16 ONNX with model.json, if it passes the parity check."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from protome.geometry import CropRule
from protome_export.heads.pose import SCALE
from protome_export.training.facemesh import FILE, REQUIREMENT, SHA256
from protome_export.training.geometry import CROP, DEPTH, FINE, LEAST, NEAREST, STANDARD, Grid
from protome_export.training.joined import JoinedNet
from protome_export.training.network import GuidedNet

from .parity import ROWS, Parity, parity

# From libfacedetection's box to the crop, measured on synthetic heads: side over sqrt(w * h) of
# the box, drop of its centre over its height, and the crop's row that this point comes to.
CROP_RULE = CropRule(side=2.06, drop=0.13, anchor=103.0)
MIN_IOU, MAX_DISTANCE = 0.998, 0.05


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Merge each Conv2d + BatchNorm2d pair of an eval-mode module, in place."""
    for child in module.children():
        fold_batch_norm(child)
    if isinstance(module, nn.Sequential):
        for k in range(len(module) - 1):
            conv, norm = module[k], module[k + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[k] = fuse_conv_bn_eval(conv, norm)
                module[k + 1] = nn.Identity()
    return module


Trust = tuple[float, float]
Network = GuidedNet | JoinedNet


def expected_error(net: Network, crops: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> Trust:
    """Fit the error of a landmark to the width of its heat, by least squares.

    Args:
        net: the network.
        crops: (n, 192, 192, 3) RGB.
        landmarks: (n, 68, 3) their true places, crop px.

    Returns:
        The constant, px, and the factor of the width.
    """
    truth = landmarks - landmarks.mean(1, keepdims=True) * np.array([0, 0, 1], np.float32)
    width, error = [], []
    for i in range(0, len(crops), 32):
        x = torch.from_numpy(crops[i : i + 32]).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            out = net(x)
        width.append(out.width.mean(1).numpy())
        error.append(np.linalg.norm(out.landmarks.numpy() - truth[i : i + 32], axis=2).mean(1))
    w = np.concatenate(width)
    table = np.stack([np.ones(len(w)), w], 1)
    constant, factor = np.linalg.lstsq(table, np.concatenate(error), rcond=None)[0]
    return float(constant), float(factor)


class ServedNet(nn.Module):
    """The network as it is exported.

    Inputs are uint8 crops (n, 192, 192, 3) and int64 rows (m,) of them. Outputs:
      occupancy, uint8 (n, 100, 96, 96) of all crops and (m, 200, 192, 192) of the rows;
      landmarks (n, 68, 3), crop px;
      pose (n, 3, 4) from the head's own frame (cm, x to its left, y up, z forward, origin at the
      mean of the 68 landmarks) to the crop frame (px);
      landmark_error (n, 68), expected error of each landmark, crop px.

    Args:
        net: the trained network.
        served: (68,) vertices returned as landmarks.
        trust: result of `expected_error`.
        half: compute convolutions in FP16. Pose and voxelising stay FP32, because FP16 resolves
            only 0.125 px at the far side of the crop.
    """

    served: Tensor

    def __init__(
        self,
        net: Network,
        served: NDArray[np.int32],
        half: bool,
        trust: Trust = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.trust = trust
        self.register_buffer("served", torch.from_numpy(served.astype(np.int64)))
        own: Network = copy.deepcopy(net).float().eval()
        fold_batch_norm(own)
        parts = [own.finder, own.reader] if isinstance(own, JoinedNet) else [own]
        for part in parts:
            part.amp = False
            part.dtype = torch.float16 if half else torch.float32
            for convolutions in (part.trunk, part.landmarks.mix, part.landmarks.maps):
                convolutions.to(part.dtype)
        self.net: Network = own
        self.fine = own.voxeliser.at(FINE)

    def forward(self, crops: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        out = self.net(crops.permute(0, 3, 1, 2).float() * (1 / 255))
        vertices, origin = self.net.placed(out)
        # Vertices of the posed head instead of the heatmaps' points: they follow the face's shape.
        landmarks = vertices[:, self.served]
        if isinstance(self.net, JoinedNet):
            landmarks = landmarks + self.net.annotated(out)
        scaled = out.rotation * out.scale[:, None, None]
        forward = scaled * torch.tensor([1.0, -1.0, -1.0])  # canonical axes to the head's own
        pose = torch.cat([forward, (out.translation + origin)[:, :, None]], 2)
        standard = self.net.voxeliser.quantised(vertices)
        # ONNX Runtime computes every output, requested or not, so FINE is made of named rows only.
        fine = self.fine.quantised(vertices[rows])
        constant, factor = self.trust
        error = (out.width * factor + constant).clamp(min=0.5)
        return standard, fine, landmarks, pose, error


def _shrink(model: onnx.ModelProto, smallest: int = 1024) -> None:
    """Store large FP32 initialisers as FP16 with a Cast after them; arithmetic is unchanged."""
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
    net: Network,
    served: NDArray[np.int32],
    path: Path,
    half: bool = True,
    trust: Trust = (0.0, 1.0),
) -> None:
    """Write a trained network (EMA weights, any mode) as ONNX; arguments as `ServedNet`."""
    module = ServedNet(net, served, half, trust).eval()
    example = torch.zeros(3, CROP, CROP, 3, dtype=torch.uint8), torch.tensor([0, 2])
    inputs = {"crops": "n", ROWS: "m"}
    of_all = ("landmarks", "pose", "landmark_error")
    outputs = {"occupancy": "n", "fine": "m"} | dict.fromkeys(of_all, "n")
    with torch.no_grad():
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: axis} for name, axis in (inputs | outputs).items()},
            opset_version=18,
            dynamo=False,
        )
    model = onnx.load(str(path))
    if half:
        _shrink(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


TRAINING_DATA = (
    "Synthetic heads only: ICT-FaceKit light (MIT) rendered with CC0 skins (MakeHuman) and CC0 "
    "environments and procedural hair, clothes and backgrounds. No picture of a real "
    "person was used to train it here."
)
PRETRAINED = (
    " One of its trunks is pretrained and was not changed: Face Mesh v1 by Google (MediaPipe, "
    f"Apache-2.0), {FILE} of PyPI's {REQUIREMENT}, SHA-256 {SHA256}; its authors trained it on "
    "photographs."
)


def _volume(name: str, grid: Grid) -> dict[str, Any]:
    shape = ["n", grid.depth, grid.size, grid.size]
    return {"name": name, "dtype": "uint8", "shape": shape}


def describe(
    path: Path, name: str, version: str, extra: dict[str, Any], pretrained: bool = False
) -> dict[str, Any]:
    """Return the contents of model.json for the service.

    Args:
        path: the ONNX file.
        name, version: of the model.
        extra: further entries, for people.
        pretrained: whether Face Mesh is part of it.
    """
    return {
        "name": name,
        "version": version,
        "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "Apache-2.0",
        "training_data": TRAINING_DATA + PRETRAINED * pretrained,
        "input": {"name": "crops", "dtype": "uint8", "shape": ["n", CROP, CROP, 3]},
        "outputs": {
            "STANDARD": _volume("occupancy", STANDARD),
            "FINE": {**_volume("fine", FINE), "rows": ROWS},
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
            "fine": "the same of the crops whose rows are given (int64), in columns every 1 px "
            "from 0.5 and slices every 0.5 px from 0.25",
            "landmarks": "68 points in Multi-PIE order, 0-16 along the jaw itself, the others "
            "where annotators of photographs place them; crop px, z away from the camera, same "
            "origin as the slices",
            "landmark_error": "crop px each landmark is expected to be off, from the width of "
            "its heat, calibrated on synthetic heads",
            "pose": "head frame (cm, x to its left, y up, z forward, origin at the mean of the "
            "68 landmarks) to crop px: scale * rotation | translation",
            "detector": "libfacedetection",
        },
        **extra,
    }


def export_model(
    net: Network,
    served: NDArray[np.int32],
    folder: Path,
    crops: NDArray[np.uint8],
    name: str,
    version: str,
    extra: dict[str, Any],
    trust: Trust = (0.0, 1.0),
) -> list[Parity]:
    """Write model.onnx, model.json and parity.json.

    Args:
        net: the trained network.
        served: (68,) vertices returned as landmarks.
        folder: for the files.
        crops: (n, 192, 192, 3) uint8 RGB for the parity check.
        name, version: of the model.
        extra: further entries of model.json.
        trust: result of `expected_error`.

    Raises:
        ValueError: the FP16 model deviates too much; no model is left in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / ".model.onnx"
    write_onnx(net, served, scratch, trust=trust)
    rows = list(parity(ServedNet(net, served, half=False).eval(), scratch, crops))
    if bad := [r for r in rows if r.iou < MIN_IOU or r.distance > MAX_DISTANCE]:
        scratch.unlink()
        raise ValueError(f"the exported model deviates from the network: {bad[0]}")
    path = folder / "model.onnx"
    scratch.rename(path)
    card = describe(path, name, version, extra, isinstance(net, JoinedNet))
    (folder / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    report = {"crops": len(crops), "rows": [vars(r) for r in rows], "digest": card["digest"]}
    (folder / "parity.json").write_text(json.dumps(report, indent=2) + "\n")
    return rows
