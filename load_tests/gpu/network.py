"""Part 1: the released network on ONNX Runtime's CUDA provider, without the service.

Places of the nodes, parity with the CPU provider for each batch size, faces per second by batch
size, with and without IO binding, two batches in flight, CUDA graphs, TensorRT if it is there.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from protome.model.card import SHIPPED

from .common import Results, arguments, per_second

BATCHES = (1, 2, 4, 8, 16, 32, 64)
Feeds = dict[str, NDArray[Any]]


def crops(count: int) -> NDArray[np.uint8]:
    """Crops (count, 192, 192, 3): the sample photo's face, turned, moved and dimmed at random."""
    import protome

    photo = cv2.imread(str(Path(protome.__file__).parent / "sample.jpg"))
    assert photo is not None
    photo = cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)
    side, random = min(photo.shape[:2]), np.random.default_rng(0)
    out = []
    for _ in range(count):
        angle, zoom = random.normal(0, 15), 192 / side * random.uniform(0.8, 1.6)
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, zoom)
        matrix[:, 2] += 96 - side / 2 + random.normal(0, 10, 2)
        crop = cv2.warpAffine(photo, matrix, (192, 192), flags=cv2.INTER_AREA)
        out.append((crop * random.uniform(0.5, 1.0)).astype(np.uint8))
    return np.stack(out)


def options(**entries: Any) -> ort.SessionOptions:
    """Session options as the service has them, with others set."""
    made = ort.SessionOptions()
    made.log_severity_level = 3
    made.enable_mem_pattern = False
    for name, value in entries.items():
        setattr(made, name, value)
    return made


class Network:
    """The released network on one provider; feeds as the service makes them."""

    def __init__(self, provider: str, settings: dict[str, str] | None = None, **entries: Any):
        onnx = (SHIPPED / "model.onnx").read_bytes()
        self.session = ort.InferenceSession(
            onnx, options(**entries), providers=[(provider, settings or {})]
        )
        if self.session.get_providers()[0] != provider:
            raise RuntimeError(f"{provider} does not work: {self.session.get_providers()}")
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.rows = [i.name for i in self.session.get_inputs() if i.name != "crops"]

    def feeds(self, batch: NDArray[np.uint8], rows: list[int]) -> Feeds:
        """The inputs for a batch; rows: those whose FINE volume is wanted."""
        return {"crops": batch, **{name: np.array(rows, np.int64) for name in self.rows}}

    def run(self, feeds: Feeds) -> Feeds:
        return dict(zip(self.outputs, self.session.run(self.outputs, feeds), strict=True))

    def bound(self, feeds: Feeds) -> Feeds:
        """Run by IO binding as the service does: each output copied once."""
        binding = self.session.io_binding()
        for name, value in feeds.items():
            binding.bind_cpu_input(name, value)
        for name in self.outputs:
            binding.bind_output(name, "cuda")
        self.session.run_with_iobinding(binding)
        values = (value.numpy() for value in binding.get_outputs())
        return dict(zip(self.outputs, values, strict=True))


def placement(profile: Path) -> dict[str, Any]:
    """Which provider ran which nodes, and where the time went, from ONNX Runtime's profile."""
    providers: dict[str, Counter[str]] = {}
    spent: Counter[str] = Counter()
    for event in json.loads(profile.read_text()):
        arguments_ = event.get("args", {})
        if event.get("cat") != "Node" or "provider" not in arguments_:
            continue
        if event["name"].endswith("_kernel_time"):
            kind = arguments_["op_name"]
            providers.setdefault(arguments_["provider"], Counter())[kind] += 1
            spent[kind] += event["dur"]
    return {
        "nodes": {name: dict(kinds.most_common()) for name, kinds in providers.items()},
        "microseconds_by_operator": dict(spent.most_common(15)),
    }


def profiled(provider: str, out: Path, batch: NDArray[np.uint8]) -> dict[str, Any]:
    """One profiled run after three that warm up."""
    net = Network(provider, enable_profiling=True, profile_file_prefix=str(out / "ort"))
    feeds = net.feeds(batch, [0])
    for _ in range(4):
        net.run(feeds)
    path = Path(net.session.end_profiling())
    events = json.loads(path.read_text())
    runs = [e for e in events if e["name"] == "model_run"]
    last = runs[-1]["ts"]
    path.write_text(json.dumps([e for e in events if e.get("ts", 0) >= last]))
    found = placement(path)
    path.unlink()
    return found | {"model_run_microseconds": [e["dur"] for e in runs]}


def agreement(a: Feeds, b: Feeds) -> dict[str, float]:
    """IoU of volumes, largest distance of everything else."""
    found = {}
    for name, left in a.items():
        right = b[name]
        if left.dtype == np.uint8:
            inside, other = left > 127, right > 127
            axes = tuple(range(1, left.ndim))
            union = np.maximum((inside | other).sum(axes), 1)
            found[f"{name} iou"] = float(((inside & other).sum(axes) / union).min())
            found[f"{name} largest"] = float(np.abs(left.astype(int) - right).max())
        else:
            found[name] = float(np.abs(left - right).max()) if left.size else 0.0
    return found


def two_in_flight(net: Network, feeds: Feeds, count: int, seconds: float) -> dict[str, float]:
    """Faces per second of two threads that run batches at the same time."""
    done: list[dict[str, float]] = []
    threads = [
        threading.Thread(
            target=lambda: done.append(per_second(lambda: net.bound(feeds), count, seconds))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"per_second": sum(part["per_second"] for part in done)}


def cuda_graph(batch: NDArray[np.uint8], seconds: float) -> dict[str, float]:
    """Faces per second when a captured CUDA graph is replayed with inputs and outputs that stay
    on the GPU, copies to the host counted."""
    net = Network("CUDAExecutionProvider", {"enable_cuda_graph": "1"})
    feeds = net.feeds(batch, [0])
    binding = net.session.io_binding()
    inputs = {n: ort.OrtValue.ortvalue_from_numpy(v, "cuda", 0) for n, v in feeds.items()}
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    shapes = {name: value.shape for name, value in net_shapes(feeds).items()}
    outputs = {}
    for output in net.session.get_outputs():
        like = shapes[output.name]
        kind = np.uint8 if "uint8" in output.type else np.float32
        outputs[output.name] = ort.OrtValue.ortvalue_from_numpy(np.zeros(like, kind), "cuda", 0)
        binding.bind_ortvalue_output(output.name, outputs[output.name])

    def run() -> None:
        inputs["crops"].update_inplace(feeds["crops"])
        net.session.run_with_iobinding(binding)
        for value in outputs.values():
            value.numpy()

    return per_second(run, len(batch), seconds)


def net_shapes(feeds: Feeds) -> Feeds:
    """Outputs of these feeds by the CPU provider, for their shapes."""
    return Network("CPUExecutionProvider").run(feeds)


def main() -> int:
    args = arguments(__doc__)
    results = Results(args.out / "network.json")
    provider = "CPUExecutionProvider" if args.dry else "CUDAExecutionProvider"
    batches = BATCHES[:2] if args.dry else BATCHES
    seconds = 0.2 if args.dry else 1.0
    if not args.dry:
        ort.preload_dlls()
    results.add("versions", {"onnxruntime": ort.__version__, "numpy": np.__version__})
    results.add("providers", ort.get_available_providers())
    pictures = crops(max(batches))
    with results.step("placement"):
        results.add("placement 1", profiled(provider, args.out, pictures[:1]))
        results.add("placement 32", profiled(provider, args.out, pictures[:32]))
    reference = Network("CPUExecutionProvider", intra_op_num_threads=0)
    net = Network(provider, {"cudnn_conv_algo_search": "HEURISTIC"} if not args.dry else {})
    call = net.run if args.dry else net.bound
    for count in batches:
        batch = pictures[:count]
        with results.step(f"parity {count}"):
            feeds = net.feeds(batch, [0, count - 1][: min(2, count)])
            results.add(f"parity {count}", agreement(call(feeds), reference.run(feeds)))
        with results.step(f"speed {count}"):
            feeds = net.feeds(batch, [0])
            found = {"run": per_second(partial(net.run, feeds), count, seconds)}
            if not args.dry:
                found["io_binding"] = per_second(partial(net.bound, feeds), count, seconds)
                found["two_in_flight"] = two_in_flight(net, feeds, count, seconds)
            results.add(f"speed {count}", found)
    for count in () if args.dry else (1, 8, 32):
        with results.step(f"cuda graph {count}"):
            results.add(f"cuda graph {count}", cuda_graph(pictures[:count], seconds))
    if not args.dry:
        with results.step("no rows"):
            feeds = net.feeds(pictures[:4], [])
            empty = net.bound(feeds)
            results.add("no rows", {name: list(value.shape) for name, value in empty.items()})
            results.add("speed 32 no rows", per_second(
                lambda: net.bound(net.feeds(pictures[:32], [])), 32, seconds))  # fmt: skip
        with results.step("exhaustive"):
            slow = Network(provider, {"cudnn_conv_algo_search": "EXHAUSTIVE"})
            feeds = slow.feeds(pictures[:32], [0])
            results.add("exhaustive 32", per_second(lambda: slow.bound(feeds), 32, seconds))
        if "TensorrtExecutionProvider" in ort.get_available_providers():
            # Optional: TensorRT's libraries are seldom there.
            try:
                trt = Network("TensorrtExecutionProvider", {"trt_fp16_enable": "True"})
                feeds = trt.feeds(pictures[:32], [0])
                results.add("tensorrt 32", per_second(lambda: trt.bound(feeds), 32, seconds))
            except Exception as error:
                results.add("tensorrt", f"not there: {str(error)[:200]}")
    return results.failed


if __name__ == "__main__":
    sys.exit(main())
