"""ONNX Runtime sessions: which provider, with which options, and how arrays get in and out."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy.typing as npt

# Since 1.29 it would tell Microsoft about the model and the machine; it asks when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from .card import ModelError

log = logging.getLogger(__name__)

TENSORRT: Final = "TensorrtExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
CPU: Final = "CPUExecutionProvider"
Choice = Literal["auto", "cpu", "cuda", "tensorrt"]


@dataclass(frozen=True, slots=True)
class Setup:
    """How to run a network.

    Attributes:
        provider: "auto" takes CUDA where it works, "cuda" and "tensorrt" insist.
        threads: of the CPU provider.
        engine_cache: folder where TensorRT keeps the engines it built; empty: nowhere.
    """

    provider: Choice = "auto"
    threads: int = 1
    engine_cache: str = ""


class Runner(Protocol):
    """What an engine runs its network with: a :class:`Session`, or another in tests."""

    provider: str

    def run(
        self, feeds: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> Mapping[str, npt.NDArray[Any]]:
        """Return the outputs asked for, by name."""


class Session:
    """A loaded network on one provider; ``run`` may be called from several threads.

    On a GPU each batch size has an ONNX Runtime session of its own: since 1.20 a convolution
    makes its cuDNN plan anew whenever the shape of its input changes (onnxruntime#23006), which
    took 85 ms a batch on an H100 where a batch takes 10.

    Args:
        onnx: the network.
        setup: how to run it.

    Raises:
        ModelError: it cannot be loaded, or the provider insisted on does not work.
    """

    def __init__(self, onnx: bytes, setup: Setup) -> None:
        self._onnx, self._setup = onnx, setup
        self._unused: ort.InferenceSession | None = _session(onnx, setup)
        self._sessions: dict[int, ort.InferenceSession] = {}
        self._opening = threading.Lock()
        self.provider: str = self._unused.get_providers()[0]

    def run(
        self, feeds: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> Mapping[str, npt.NDArray[Any]]:
        """Compute outputs.

        Args:
            feeds: the inputs by name, the batch of crops first.
            outputs: names.

        Returns:
            The outputs by name.
        """
        session = self._of(len(next(iter(feeds.values()))))
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))

    def _of(self, batch: int) -> ort.InferenceSession:
        """Return the session for batches of this size."""
        key = 0 if self.provider == CPU else batch
        with self._opening:
            if key not in self._sessions:
                self._sessions[key] = self._unused or _session(self._onnx, self._setup)
                self._unused = None
            return self._sessions[key]


def _session(onnx: bytes, setup: Setup) -> ort.InferenceSession:
    wanted = setup.provider
    providers = _gpu_providers(setup)
    if providers and providers[0][0] in ort.get_available_providers():
        provider = providers[0][0]
        with contextlib.suppress(Exception):
            # CUDA and cuDNN from wheels (the [cuda] extra) are not on the loader's path.
            ort.preload_dlls()
        try:
            session = ort.InferenceSession(onnx, _options(1), providers=providers)
        except Exception as error:
            if wanted != "auto":
                raise ModelError(f"the {provider} does not work: {error}") from None
            log.info("no %s here: %s", provider, error)
        else:
            if session.get_providers()[0] == provider:
                return session
    if wanted in ("cuda", "tensorrt"):
        raise ModelError(f"the {wanted.upper()} provider does not work on this machine")
    try:
        return ort.InferenceSession(onnx, _options(setup.threads), providers=[CPU])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {error}") from None


def out_of_memory(error: Exception) -> bool:
    """Return whether a run failed because the device's memory was not enough.

    ONNX Runtime has no type for it, so the messages of CUDA and of its allocator are searched.
    """
    said = str(error).lower()
    return any(words in said for words in ("out of memory", "failed to allocate memory"))


_CUDA_OPTIONS: Final = {
    "cudnn_conv_algo_search": "HEURISTIC",
    # Several sessions share the GPU: none takes more than it asks for.
    "arena_extend_strategy": "kSameAsRequested",
}


def _gpu_providers(setup: Setup) -> list[tuple[str, dict[str, str]]]:
    """Return the GPU provider to try, and what takes over the parts it cannot run."""
    if setup.provider == "tensorrt":
        options = {"trt_fp16_enable": "True"}
        if setup.engine_cache:
            Path(setup.engine_cache).mkdir(parents=True, exist_ok=True)
            options |= {
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": setup.engine_cache,
            }
        return [(TENSORRT, options), (CUDA, _CUDA_OPTIONS)]
    if setup.provider == "cuda" or (setup.provider == "auto" and _has_gpu()):
        return [(CUDA, _CUDA_OPTIONS)]
    return []


def _has_gpu() -> bool:
    """Return whether an NVIDIA driver is there; CUDA itself answers slowly and logs an error."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Planned memory is a third more, for good, and saves 2 % of a run.
    options.enable_mem_pattern = False
    # Spinning threads would take the cores from the workers between runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
