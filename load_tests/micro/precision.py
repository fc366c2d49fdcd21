"""Compare the network's time for one face in FP16 and float32 on the CPU.

Run: ``python -m load_tests.micro.precision`` (needs the [export] extra).
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import onnx
import onnxruntime as ort

from protome.geometry import CROP_SIDE
from protome.model.card import load_model
from protome_export.release.parity import widen

ROUNDS = 15


def main() -> None:
    """Print the ratio."""
    model = load_model()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    crop = np.random.default_rng(0).integers(0, 255, (1, CROP_SIDE, CROP_SIDE, 3), dtype=np.uint8)
    feeds = {model.input: crop}
    sessions = {
        "FP16": ort.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"]),
        "float32": ort.InferenceSession(
            widen(onnx.load_from_string(model.onnx)).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        # In turn, so that slow moments of the machine affect both.
        for name, session in sessions.items():
            began = time.perf_counter()
            session.run(None, feeds)
            seconds[name].append(time.perf_counter() - began)
    half, full = (statistics.median(seconds[name]) for name in ("FP16", "float32"))
    print(f"FP16 {1e3 * half:.1f} ms, float32 {1e3 * full:.1f} ms, ratio {half / full:.2f}")


if __name__ == "__main__":
    main()
