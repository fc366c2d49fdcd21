"""What a network costs on one core of the CPU provider, whole and only as far as the landmarks.

``python -m load_tests.micro.network [MODEL_FOLDER ...]`` compares several releases in one run, a
face of each in turn; without arguments it measures the one that is shipped. Times are processor
times of the thread, which other users of the machine disturb less. Needs the ``[export]`` extra.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx.utils import Extractor

from protome.geometry import CROP_SIDE
from protome.model.card import SHIPPED, Model, load_model

ROUNDS: Final = 40


def session(onnx_bytes: bytes) -> ort.InferenceSession:
    """One thread, options as the service has them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False
    return ort.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])


def without_shape(model: Model) -> bytes:
    """Return the part of the network that gives landmarks, pose and expected errors."""
    outputs = [n for n in (model.landmarks, model.pose, model.landmark_error) if n is not None]
    part: onnx.ModelProto = Extractor(onnx.load_from_string(model.onnx)).extract_model(
        [model.input], outputs
    )
    return part.SerializeToString()


def main() -> None:
    parser = argparse.ArgumentParser(prog="load_tests.micro.network", description=__doc__)
    parser.add_argument("models", type=Path, nargs="*", default=[SHIPPED])
    folders = parser.parse_args().models
    crop = np.random.default_rng(0).integers(0, 256, (1, CROP_SIDE, CROP_SIDE, 3), np.uint8)
    runs = {}
    for folder in folders:
        model = load_model(folder)
        whole, part = session(model.onnx), session(without_shape(model))
        runs[model.version, "landmarks, pose and errors"] = part
        runs[model.version, "whole"] = whole
    times: dict[tuple[str, str], list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, network in runs.items():
            began = time.thread_time()
            network.run(None, {"crops": crop})
            times[name].append(1e3 * (time.thread_time() - began))
    print("| release | part | median ms | least ms |\n|---|---|---|---|")
    for (version, part_name), values in times.items():
        print(f"| {version} | {part_name} | {statistics.median(values):.1f} | {min(values):.1f} |")


if __name__ == "__main__":
    main()
