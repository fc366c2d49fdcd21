"""Part 1: the released network on ONNX Runtime's CUDA provider, without the service.

Placement of the nodes, parity with the CPU provider for each batch size, faces per second by batch
size, two batches in flight, batches of alternating size in one session and in a session per size,
CUDA graphs and their values, TensorRT if it is installed.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from protome.model.card import SHIPPED
from protome.model.session import Session, Setup

from .common import Results, arguments, per_second
from .crops import sample_crops

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
Feeds = dict[str, NDArray[Any]]


def options(**entries: Any) -> ort.SessionOptions:
    """Session options as the service has them, with others set."""
    made = ort.SessionOptions()
    made.log_severity_level = 3
    made.enable_mem_pattern = False
    for name, value in entries.items():
        setattr(made, name, value)
    return made


class Network:
    """The released network on one provider."""

    def __init__(self, provider: str, settings: dict[str, str] | None = None, **entries: Any):
        onnx = (SHIPPED / "model.onnx").read_bytes()
        self.session = ort.InferenceSession(
            onnx, options(**entries), providers=[(provider, settings or {})]
        )
        if self.session.get_providers()[0] != provider:
            raise RuntimeError(f"{provider} does not work: {self.session.get_providers()}")
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(self, feeds: Feeds) -> Feeds:
        return dict(zip(self.outputs, self.session.run(self.outputs, feeds), strict=True))


def placement(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the nodes by provider and operator, name those on the CPU, and sum up their time.

    Args:
        events: of ONNX Runtime's profile.
    """
    providers: dict[str, Counter[str]] = {}
    spent: Counter[str] = Counter()
    on_cpu: list[str] = []
    for event in events:
        name, _, kind = event["name"].rpartition("_kernel_time")
        facts = event.get("args", {})
        if kind or event.get("cat") != "Node" or "provider" not in facts:
            continue
        providers.setdefault(facts["provider"], Counter())[facts["op_name"]] += 1
        spent[facts["op_name"]] += event["dur"]
        if facts["provider"] == CPU:
            on_cpu.append(f"{facts['op_name']} {name}")
    return {
        "nodes": {name: dict(kinds.most_common()) for name, kinds in providers.items()},
        "on_cpu": sorted(on_cpu),
        "microseconds_by_operator": dict(spent.most_common(15)),
    }


def profiled(provider: str, out: Path, batch: NDArray[np.uint8]) -> dict[str, Any]:
    """One profiled run after three that warm up."""
    net = Network(provider, enable_profiling=True, profile_file_prefix=str(out / "ort"))
    for _ in range(4):
        net.run({"crops": batch})
    path = Path(net.session.end_profiling())
    events = json.loads(path.read_text())
    path.unlink()
    runs = [event for event in events if event["name"] == "model_run"]
    found = placement([event for event in events if event.get("ts", 0) >= runs[-1]["ts"]])
    return found | {"model_run_microseconds": [event["dur"] for event in runs]}


def agreement(a: Feeds, b: Feeds) -> dict[str, float]:
    """IoU of hair, largest distance of everything."""
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
            target=lambda: done.append(per_second(lambda: net.run(feeds), count, seconds))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"per_second": sum(part["per_second"] for part in done)}


def alternating(
    run: Callable[[Feeds], object], batches: list[Feeds], seconds: float
) -> dict[str, float]:
    """Measure the median milliseconds of a batch by its size.

    Each batch has another size than the one before.
    """
    for feeds in batches * 2:
        run(feeds)
    times: dict[str, list[float]] = {}
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        for feeds in batches:
            began = time.perf_counter()
            run(feeds)
            took = time.perf_counter() - began
            times.setdefault(str(len(feeds["crops"])), []).append(took)
    return {size: 1e3 * sorted(took)[len(took) // 2] for size, took in times.items()}


def cuda_graph(
    plain: Network, batch: NDArray[np.uint8], device: str, seconds: float
) -> dict[str, Any]:
    """Measure faces per second when a captured CUDA graph is replayed.

    Copies to and from the GPU are counted. Tell, too, how far the graph's values for other crops
    are from a plain run.

    Args:
        plain: the same provider without CUDA graphs.
        batch: of this size is the graph.
        device: "cuda", or "cpu", which binds the same way and captures nothing.
        seconds: to measure for.
    """
    net = Network(CUDA, {"enable_cuda_graph": "1"}) if device == "cuda" else Network(CPU)
    binding = net.session.io_binding()

    def on_device(values: Feeds) -> dict[str, ort.OrtValue]:
        return {n: ort.OrtValue.ortvalue_from_numpy(v, device, 0) for n, v in values.items()}

    feeds = {"crops": batch}
    inputs = on_device(feeds)
    outputs = on_device({n: np.zeros_like(v) for n, v in plain.run(feeds).items()})
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in outputs.items():
        binding.bind_ortvalue_output(name, value)

    def run(crops: NDArray[np.uint8]) -> Feeds:
        inputs["crops"].update_inplace(crops)
        net.session.run_with_iobinding(binding)
        return {name: value.numpy() for name, value in outputs.items()}

    speed = per_second(partial(run, batch), len(batch), seconds)
    # Other crops than those of the capture: a replay must read the inputs again.
    mirrored = np.ascontiguousarray(batch[:, :, ::-1])
    same = agreement(run(mirrored), plain.run({"crops": mirrored}))
    return {**speed, "against a plain run": same}


def main() -> int:
    args = arguments(__doc__)
    results = Results(args.out / "network.json")
    device: Literal["cpu", "cuda"] = "cpu" if args.dry else "cuda"
    provider = CPU if args.dry else CUDA
    batches = BATCHES[:2] if args.dry else BATCHES
    seconds = 0.2 if args.dry else 1.0
    if not args.dry:
        ort.preload_dlls()
    results.add("versions", {"onnxruntime": ort.__version__, "numpy": np.__version__})
    results.add("providers", ort.get_available_providers())
    pictures = sample_crops(max(batches))
    with results.step("placement"):
        results.add("placement 1", profiled(provider, args.out, pictures[:1]))
        results.add("placement 32", profiled(provider, args.out, pictures[:32]))
    reference = Network(CPU, intra_op_num_threads=0)
    # How cuDNN chooses its algorithms; the CPU provider knows no such setting.
    heuristic = {} if args.dry else {"cudnn_conv_algo_search": "HEURISTIC"}
    net = Network(provider, heuristic)
    for count in batches:
        batch = pictures[:count]
        with results.step(f"parity {count}"):
            feeds = {"crops": batch}
            results.add(f"parity {count}", agreement(net.run(feeds), reference.run(feeds)))
        with results.step(f"speed {count}"):
            feeds = {"crops": batch}
            found = {"run": per_second(partial(net.run, feeds), count, seconds)}
            found["two_in_flight"] = two_in_flight(net, feeds, count, seconds)
            results.add(f"speed {count}", found)
    some = (1, 2) if args.dry else (1, 8, 32)
    with results.step("alternating sizes"):
        fed = [{"crops": pictures[:count]} for count in some]
        service = Session((SHIPPED / "model.onnx").read_bytes(), Setup(device))
        each = partial(service.run, outputs=net.outputs)
        results.add("alternating, one session, ms", alternating(net.run, fed, 2 * seconds))
        results.add("alternating, session per size, ms", alternating(each, fed, 2 * seconds))
    for count in some:
        with results.step(f"cuda graph {count}"):
            found = cuda_graph(net, pictures[:count], device, seconds)
            results.add(f"cuda graph {count}", found)
    with results.step("exhaustive"):
        exhaustive = {} if args.dry else {"cudnn_conv_algo_search": "EXHAUSTIVE"}
        slow = Network(provider, exhaustive)
        feeds = {"crops": pictures[:32]}
        results.add(
            "exhaustive 32", per_second(partial(slow.run, feeds), len(feeds["crops"]), seconds)
        )
    if not args.dry and "TensorrtExecutionProvider" in ort.get_available_providers():
        # TensorRT's libraries are seldom installed.
        try:
            trt = Network("TensorrtExecutionProvider", {"trt_fp16_enable": "True"})
            feeds = {"crops": pictures[:32]}
            results.add("tensorrt 32", per_second(partial(trt.run, feeds), 32, seconds))
        except Exception as error:
            results.add("tensorrt", f"not there: {str(error)[:200]}")
    return results.failed


if __name__ == "__main__":
    sys.exit(main())
