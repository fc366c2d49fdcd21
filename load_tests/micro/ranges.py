"""Largest magnitude of every FP16 tensor of the shipped network, computed in float32.

A value above FP16's largest, 65,504, would become infinity on a GPU, which computes in FP16; the
CPU provider computes in float32 and would not show it.

Run: ``python -m load_tests.micro.ranges`` (needs the [export] extra): 500 crops of the sample
photo, of rendered heads and of no face at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from load_tests.gpu.crops import sample_crops
from protome.geometry import CROP_SIDE
from protome.model.card import load_model
from protome_export.release.parity import widen

LIMIT: Final = float(np.finfo(np.float16).max) / 10
_TOGETHER: Final = 4


def half_tensors(model: onnx.ModelProto) -> list[str]:
    """Names of the FP16 tensors that the graph computes."""
    known = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in known.value_info}
    outputs = (name for node in model.graph.node for name in node.output)
    return [name for name in outputs if kinds.get(name) == TensorProto.FLOAT16]


def measured(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """Return the model in float32 whose outputs are the largest magnitudes of these tensors."""
    out = widen(model)
    del out.graph.output[:]
    for name in names:
        out.graph.node.append(helper.make_node("Abs", [name], [f"{name}_magnitude"]))
        out.graph.node.append(
            helper.make_node("ReduceMax", [f"{name}_magnitude"], [f"{name}_largest"], keepdims=0)
        )
        info = helper.make_tensor_value_info(f"{name}_largest", TensorProto.FLOAT, [])
        out.graph.output.append(info)
    return out


def largest(model: onnx.ModelProto, crops: NDArray[np.uint8]) -> dict[str, float]:
    """Return the largest magnitude of each FP16 tensor, weights included, over these crops.

    Args:
        model: with FP16 tensors.
        crops: (n, 208, 208, 3) uint8 RGB.
    """
    names = half_tensors(model)
    found = {
        tensor.name: float(np.abs(numpy_helper.to_array(tensor)).max())
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT16
    }
    session = ort.InferenceSession(
        measured(model, names).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    seen = np.zeros(len(names))
    for start in range(0, len(crops), _TOGETHER):
        part = crops[start : start + _TOGETHER]
        # np.maximum keeps a NaN.
        seen = np.maximum(seen, session.run(None, {"crops": part}))
    return found | dict(zip(names, seen.tolist(), strict=True))


def patterns(count: int) -> Iterator[NDArray[np.uint8]]:
    """Crops (208, 208, 3) without a face: plain colours, stripes, squares and noise."""
    random = np.random.default_rng(1)
    y, x = np.indices((CROP_SIDE, CROP_SIDE))
    for k in range(count):
        dark, light = random.choice([0, 255], 3), random.choice([0, 255], 3)
        side = int(random.integers(1, 48))
        inside = [x * 0, x // side, x // side + y // side][k % 3] % 2
        noise = random.integers(0, 256, (CROP_SIDE, CROP_SIDE, 3))
        pattern = np.where(inside[..., None] == 1, light, dark)
        yield (noise if k % 4 == 3 else pattern).astype(np.uint8)


def rendered(count: int, head: str) -> Iterator[NDArray[np.uint8]]:
    """Crops (208, 208, 3) as the factory renders them."""
    from protome_export.render.sample import Synthesizer

    synthesizer = Synthesizer.load(head, None, "cpu")
    for start in range(0, count, 16):
        for sample in synthesizer.samples(range(start, min(count, start + 16))):
            yield sample.image


def mixed_crops(count: int, head: str = "tiny") -> NDArray[np.uint8]:
    """Crops (count, 208, 208, 3): half of the sample photo, the rest rendered and patterns."""
    renders = count * 2 // 5
    crops = [*rendered(renders, head), *patterns(count // 10)]
    return np.concatenate([np.stack(crops), sample_crops(count - len(crops))])


def main() -> None:
    """Print the largest magnitudes; exit 1 if one is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=500)
    parser.add_argument("--head", default="tiny", help="tiny, or a file of head shapes")
    args = parser.parse_args()
    model = load_model()
    crops = mixed_crops(args.crops, args.head)
    found = largest(onnx.load_from_string(model.onnx), crops)
    print(f"{model.name} {model.version}, {len(crops)} crops, {len(found)} FP16 tensors")
    for name, value in sorted(found.items(), key=lambda item: -item[1])[:10]:
        print(f"{value:10.1f}  {name}")
    if not max(found.values()) < LIMIT:
        raise SystemExit(f"above {LIMIT:.0f}, a tenth of FP16's largest")


if __name__ == "__main__":
    main()
