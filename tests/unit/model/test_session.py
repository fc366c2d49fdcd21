"""Sessions: one for each batch size on a GPU, and the right options."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from protome.geometry import CROP_SIDE
from protome.model.card import Model, ModelError
from protome.model.session import CUDA, TENSORRT, Session, Setup, _gpu_providers, _session
from tests.support.shapes import seeded


def test_each_batch_size_has_a_session_of_its_own_on_a_gpu(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU provider stands in for CUDA: what is checked is which session runs."""
    opened: list[ort.InferenceSession] = []

    def counted(onnx: bytes, setup: Setup) -> ort.InferenceSession:
        opened.append(_session(onnx, setup))
        return opened[-1]

    monkeypatch.setattr("protome.model.session._session", counted)
    gpu, cpu = Session(model.onnx, Setup("cpu")), Session(model.onnx, Setup("cpu"))
    gpu.provider = CUDA
    outputs = ["landmarks", "pose"]
    crops = seeded(3).integers(0, 256, (2, CROP_SIDE, CROP_SIDE, 3), dtype=np.uint8)
    for batch in (crops[:1], crops, crops[:1], crops):
        feeds = {model.input: batch}
        got, want = gpu.run(feeds, outputs), cpu.run(feeds, outputs)
        assert list(got) == outputs
        for name in outputs:
            np.testing.assert_array_equal(got[name], want[name])
    assert len(opened) == 3  # two for the batch sizes on the GPU, one on the CPU


def test_tensorrt_keeps_its_engines_where_it_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    (first, options), (second, _) = _gpu_providers(Setup("tensorrt", engine_cache=str(folder)))
    assert (first, second) == (TENSORRT, CUDA)
    assert options["trt_engine_cache_path"] == str(folder)
    assert folder.is_dir()
    ((_, plain), _) = _gpu_providers(Setup("tensorrt"))
    assert "trt_engine_cache_enable" not in plain


def test_a_provider_insisted_on_must_work(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protome.model.session.ort.get_available_providers", lambda: [])
    with pytest.raises(ModelError, match="TENSORRT"):
        Session(model.onnx, Setup("tensorrt"))


WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
import protome.server.server
"""


def test_telemetry_is_off_before_the_runtime_loads() -> None:
    bare = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", WATCH], env=bare, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1"]
