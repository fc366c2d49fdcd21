"""Sessions: the same values however the arrays get in and out, and the right options."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protome.model.card import Model, ModelError
from protome.model.session import CUDA, TENSORRT, Session, Setup, _gpu_providers
from tests.support.shapes import seeded


def test_io_binding_gives_what_a_plain_run_gives(model: Model) -> None:
    """On the CPU's own memory: that it works on a GPU's takes a GPU."""
    session = Session(model.onnx, Setup("cpu"))
    outputs = list(model.outputs.values())
    batch = seeded(3).integers(0, 256, (2, 192, 192, 3), dtype=np.uint8)
    feeds = {model.input: batch} | {name: np.array([1]) for name in model.rows.values()}
    plain, bound = session.run(feeds, outputs), session.run_bound(feeds, outputs, "cpu")
    assert list(plain) == list(bound) == outputs
    for name in outputs:
        np.testing.assert_array_equal(plain[name], bound[name])


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
