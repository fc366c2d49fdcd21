"""The load tests fit the contract; tests/deploy/test_ghz.py runs ghz itself."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.proto import parse_length_prefixed

from load_tests import first_byte, machine
from load_tests.ghz import run as ghz
from load_tests.ghz.payload import as_json, delimited, many, requests
from load_tests.ghz.report import PERCENTILES, Result, best, markdown, plot, row
from load_tests.ghz.scenarios import OVERLOAD, Scenario, closed, opened, steps, stream
from load_tests.peers.stages import Stages
from load_tests.peers.table import Point
from load_tests.peers.table import markdown as peers_markdown
from protome.bench.load import Tally
from protome.sample import SAMPLE
from protome.v1 import reconstruction_pb2 as pb

ROOT = Path(__file__).parents[2]
REPORT: dict[str, Any] = {
    "count": 20,
    "total": 2_000_000_000,
    "statusCodeDistribution": {"ResourceExhausted": 4, "OK": 16},
    "latencyDistribution": [
        {"percentage": 50, "latency": 120_000_000},
        {"percentage": 95, "latency": 300_000_000},
        {"percentage": 99, "latency": 310_000_000},
    ],
}


def flags(scenario: Scenario) -> dict[str, str]:
    """Flags of ghz by name."""
    pairs = (flag.removeprefix("--").partition("=") for flag in scenario.flags)
    return {name: value for name, _, value in pairs}


def test_the_data_of_ghz_is_a_request_of_the_contract() -> None:
    settings = ghz.config(SAMPLE.read_bytes())
    request = json_format.Parse(json.dumps(settings["data"]), pb.ReconstructRequest())
    assert request.image == SAMPLE.read_bytes()
    assert list(request.compressions) == [pb.COMPRESSION_MESHOPT]


@pytest.mark.parametrize("call", [ghz.config()["call"], ghz.STREAM_CALL])
def test_ghz_calls_a_method_of_the_contract(call: str) -> None:
    service, method = call.split("/")
    described = pb.DESCRIPTOR.services_by_name["ReconstructionService"]
    assert service == described.full_name
    assert method in described.methods_by_name
    settings = ghz.config()
    assert Path(settings["proto"]).is_file()
    assert all(Path(path).is_dir() for path in settings["import-paths"])


def program(folder: Path, name: str = "ghz") -> Path:
    """A file that can be run."""
    folder.mkdir(parents=True)
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without programs."""
    for name in ("GOBIN", "GOPATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return tmp_path


def test_ghz_is_found_where_go_and_our_tools_put_it(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="go install"):
        ghz.find_ghz()
    half = program(bare / ".cache" / "protome-tools" / "half" / "bin")
    with pytest.raises(SystemExit):
        ghz.find_ghz()
    (half.parents[1] / "done").touch()
    assert ghz.find_ghz() == str(half)
    old = program(bare / ".cache" / "protome-tools" / "old" / "bin")
    (old.parents[1] / "done").touch()
    os.utime(old.parents[1] / "done", (1, 1))
    assert ghz.find_ghz() == str(half)
    home = program(bare / "go" / "bin")
    assert ghz.find_ghz() == str(home)
    path = program(bare / "gopath" / "bin")
    monkeypatch.setenv("GOPATH", os.pathsep.join(["", str(bare / "gopath")]))
    assert ghz.find_ghz() == str(path)
    monkeypatch.setenv("GOBIN", str(program(bare / "gobin").parent))
    assert ghz.find_ghz() == str(bare / "gobin" / "ghz")
    monkeypatch.setenv("PATH", str(program(bare / "bin").parent))
    assert ghz.find_ghz() == str(bare / "bin" / "ghz")


def test_payloads_are_the_messages_again() -> None:
    photos = [b"first", b"second"]
    messages = many(photos, 3)
    stream_of = io.BytesIO(delimited(messages))
    read = [parse_length_prefixed(pb.ReconstructManyRequest, stream_of) for _ in range(3)]
    assert read == messages
    assert not stream_of.read()
    assert [message.request.image for message in messages] == [b"first", b"second", b"first"]
    assert len({message.request_id for message in messages}) == 3

    (one,) = requests(photos[:1])
    assert json_format.Parse(as_json([one]), pb.ReconstructRequest()) == one
    parsed = json.loads(as_json(requests(photos)))
    assert [json_format.ParseDict(item, pb.ReconstructRequest()) for item in parsed] == requests(
        photos
    )


def test_the_payload_maker_writes_what_is_asked_for(tmp_path: Path) -> None:
    for arguments in ([], ["--json"]):
        file = tmp_path / "payload"
        command = [
            sys.executable,
            "-m",
            "load_tests.ghz.payload",
            "--many=2",
            f"-o{file}",
            *arguments,
        ]
        subprocess.run(command, cwd=ROOT, check=True, timeout=60)
        data = file.read_bytes()
        expected = many([SAMPLE.read_bytes()], 2)
        assert data == (as_json(expected).encode() if arguments else delimited(expected))


def test_open_loops_come_at_their_part_of_the_capacity() -> None:
    half = flags(opened(0.5, 20.0, 6.0))
    assert half["rps"] == "10"
    assert half["total"] == "60"
    assert "async" in half
    assert "timeout" not in half
    assert flags(opened(OVERLOAD, 20.0, 6.0))["timeout"] == "2s"
    assert flags(opened(0.5, 0.3, 1.0))["rps"] == "1"


def test_steps_end_at_the_capacity_and_make_as_many_calls() -> None:
    rising = flags(steps(20.0, 3.0))
    assert rising["load-schedule"] == "step"
    assert (rising["load-start"], rising["load-step"], rising["load-end"]) == ("5", "5", "20")
    assert rising["total"] == str(3 * (5 + 10 + 15 + 20))
    assert rising["load-step-duration"] == "3000ms"


def test_names_of_scenarios_say_what_they_are() -> None:
    assert closed(1, 1, ()).name == "closed, 1 client, 1 connection"
    assert closed(32, 4, ()).name == "closed, 32 clients, 4 connections"
    assert stream(2, ()).name == "2 streams of 8 photos"


def test_a_report_of_ghz_is_read() -> None:
    result = Result.of(closed(8, 2, ()), REPORT)
    assert result.rate == 8.0
    assert result.latency(95) == 0.3
    assert row(result) == (
        "| closed, 8 clients, 2 connections | 20 | 8.0 | 120 | 300 | 310 "
        "| OK 16, ResourceExhausted 4 |"
    )
    assert Result.of(stream(1, ()), REPORT).rate == 64.0
    failed = REPORT | {"statusCodeDistribution": {"Unavailable": 20}, "latencyDistribution": None}
    none = Result.of(closed(8, 2, ()), failed)
    assert none.rate == 0
    assert all(math.isnan(none.latency(p)) for p in PERCENTILES)


def results() -> list[Result]:
    """One of each kind, and two of one load."""
    found = [closed(8, 1, ()), closed(1, 1, ()), opened(1.5, 20.0, 6.0), stream(1, ())]
    faster = REPORT | {"total": 1_000_000_000}
    return [*(Result.of(s, REPORT) for s in found), Result.of(closed(8, 8, ()), faster)]


def test_the_report_has_every_scenario_and_status(tmp_path: Path) -> None:
    text = markdown(results(), first_byte.HEAD, "* a machine", drawn=True)
    for result in results():
        assert row(result) in text
    assert "All calls: OK 80, ResourceExhausted 20." in text
    assert "(ghz.png)" in text
    assert "* a machine" in text
    assert "(ghz.png)" not in markdown(results(), "", "", drawn=False)
    assert [point.scenario.load for point in best(results(), "closed")] == [1, 8]
    assert best(results(), "closed")[1].rate == 16.0


def test_the_report_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "ghz.png"
    assert plot(results(), file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_the_machine_is_described() -> None:
    text = machine.describe("1.0 over 1 minute, 2.0 over 5", ["pytest"], ["ghz v0.121.0"])
    assert machine.cpu_model() in text
    assert "protome " in text
    assert f"pytest {pytest.__version__}" in text
    assert "ghz v0.121.0" in text
    assert "load average before: 1.0" in text
    assert "no-such-package" not in machine.versions(["no-such-package"])


def test_quantiles_are_nearest_ranks() -> None:
    assert first_byte.quantile([3.0, 1.0, 2.0, 4.0], 0.5) == 3.0
    assert first_byte.quantile([1.0], 0.99) == 1.0
    assert math.isnan(first_byte.quantile([], 0.5))


def test_a_batch_of_the_peers_keeps_its_order() -> None:
    stages = Stages()
    face = stages.prepare(SAMPLE.read_bytes())
    dark = replace(face, crop=face.crop // 2)
    vertices = [prediction.vertices for _, prediction in stages.infer([face, dark])]
    for found, alone in zip(vertices, (face, dark), strict=True):
        ((_, prediction),) = stages.infer([alone])
        # Rounding differs with the size of a batch.
        assert abs(found - prediction.vertices).max() < 0.05
    assert abs(vertices[0] - vertices[1]).max() > 0.1


def test_points_of_peers_stand_together_by_load() -> None:
    tally = Tally(
        calls=12,
        good=10,
        seconds=2.0,
        latencies=[0.1] * 9 + [0.5],
        first_bytes=[0.09] * 10,
        codes={"DEADLINE_EXCEEDED": 2},
        cpu_seconds=0.25,
    )
    points = [
        Point.of(system, load, tally, 1.2) for system in ("A", "B") for load in ("one", "two")
    ]
    lines = [line for line in peers_markdown(points, "* m").splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[:2] for line in lines[1:]] == [
        ["| one", "A"], ["| one", "B"], ["| two", "A"], ["| two", "B"],
    ]  # fmt: skip
    assert lines[1] == (
        "| one | A | 5.0 | 100 | 500 | 500 | 90 | DEADLINE_EXCEEDED 2 | 100 | 0.25 |"
    )
