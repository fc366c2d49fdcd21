"""The load tests fit the contract; ghz itself runs where it is installed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import json_format

from protome.sample import SAMPLE
from protome.v1 import reconstruction_pb2 as pb

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "load_tests" / "ghz.py"
GHZ = shutil.which("ghz") or shutil.which("ghz", path=str(Path.home() / "go" / "bin"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ghz_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_data_of_ghz_is_a_request_of_the_contract(script: ModuleType) -> None:
    settings = script.config(SAMPLE.read_bytes())
    request = json_format.Parse(json.dumps(settings["data"]), pb.ReconstructRequest())
    assert request.image == SAMPLE.read_bytes()
    assert list(request.compressions) == [pb.COMPRESSION_MESHOPT]


def test_ghz_calls_a_method_of_the_contract(script: ModuleType) -> None:
    settings = script.config()
    service, method = settings["call"].split("/")
    described = pb.DESCRIPTOR.services_by_name["ReconstructionService"]
    assert service == described.full_name
    assert method in described.methods_by_name
    assert Path(settings["proto"]).is_file()
    assert all(Path(path).is_dir() for path in settings["import-paths"])


@pytest.mark.skipif(GHZ is None, reason="no ghz: go install github.com/bojand/ghz/cmd/ghz@v0.121.0")
def test_ghz_runs_a_scenario() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--calls", "12", "--only", "8 clients"],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    assert "| closed, 8 clients | 12 |" in done.stdout
    assert "OK 12 |" in done.stdout
