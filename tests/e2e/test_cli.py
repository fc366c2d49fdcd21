"""The ``protome`` command, as a user runs it: settings, information, start of a server."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

import protome
from protome.cli import main
from protome.embedded import EmbeddedServer
from protome.model.card import SHIPPED
from tests.support.service import ONE_WORKER

from .command import Done, complains, run


def _serve(*arguments: object, env: Mapping[str, str] | None = None) -> Done:
    """A small ``protome serve`` that must refuse: if it starts, it runs into the time limit."""
    free = ("--host", "127.0.0.1", "--metrics-host", "127.0.0.1", "--port", 0, "--metrics-port", 0,
            "--web-port", 0)  # fmt: skip
    return run("serve", *ONE_WORKER, *free, *arguments, env=env, seconds=60)


def _refuse(*arguments: object, env: Mapping[str, str] | None = None) -> Done:
    """``protome serve`` in this process: for settings that are refused before a server is made."""
    command = ["serve", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        patch.setattr("protome.server.serve.serve", _not_refused)
        return Done(command, main(command), "", said.getvalue())


def _not_refused(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the settings were taken")


def test_info_says_what_the_server_is(server: EmbeddedServer) -> None:
    done = run("info", "--address", server.address)
    assert done.returncode == 0, done.stderr
    for fact in (
        protome.__version__,
        "Apache-2.0",
        "GLB, PLY, OBJ, STL, OBJ_ZIP",
        "DRACO",
        "32 faces",
    ):
        assert fact in done.stdout


def test_help_names_every_setting_with_its_variable() -> None:
    done = run("serve", "--help", env={"COLUMNS": "100"})
    assert done.returncode == 0
    for setting in ("port", "max-image-bytes", "drain-seconds", "model-dir"):
        assert f"--{setting}" in done.stdout
        assert f"PROTOME_{setting.upper().replace('-', '_')}" in done.stdout.replace("\n", "")


def test_version() -> None:
    assert run("--version").stdout.split() == ["protome", protome.__version__]


def test_no_command_shows_the_usage() -> None:
    done = run()
    assert done.returncode == 2
    assert "usage: protome" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--max-faces", "0"), ("max_faces", "0")),
        (("--workers", "many"), ("workers", "many")),
        (("--chunk-bytes", "12"), ("chunk_bytes", "1024")),
        (("--chunk-bytes", "5000000"), ("chunk_bytes", "5000000")),
        (("--workers", "100000"), ("workers", "1024")),
        (("--max-requests", "-3"), ("max_requests", "-3")),
        (("--port", "65536"), ("port",)),
        (("--task-seconds", "nan"), ("task_seconds",)),
        (("--min-score", "1.5"), ("min_score",)),
        (("--config", "/no/such/file.toml"), ("/no/such/file.toml",)),
    ],
)
def test_wrong_setting_is_named(flags: tuple[str, str], words: tuple[str, ...]) -> None:
    complains(_refuse(*flags), *words)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--max-faces", "0"),
        ("--host", "no such host"),
        ("--metrics-host", "no such host"),
        ("--model-dir", "/no/such/folder"),
    ],
)
def test_server_that_cannot_start_names_the_value(flag: str, value: str) -> None:
    complains(_serve(flag, value), value)


def test_a_failed_start_ends_with_its_reason(tmp_path: Path) -> None:
    done = _serve("--workers", "1", "--model-dir", tmp_path)
    complains(done, str(tmp_path))
    assert "stopped" not in done.stderr


def test_settings_come_from_file_environment_and_flags_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "protome.toml"
    file.write_text("max_faces = 0\nworkers = 1\n")
    complains(_refuse("--config", file), "max_faces is 0")
    complains(_refuse("--config", file, env={"PROTOME_MAX_FACES": "-1"}), "max_faces is -1")
    done = _refuse("--config", file, "--max-faces", "-2", env={"PROTOME_MAX_FACES": "-1"})
    complains(done, "max_faces is -2")


@pytest.mark.parametrize(
    ("text", "word"),
    [("max_face = 3", "max_face"), ("max_faces = ", "max_faces"), ("workers = 'x'", "workers")],
)
def test_wrong_line_of_the_file_is_named(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "protome.toml"
    file.write_text(text)
    done = _refuse("--config", file)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert word in done.stderr or str(file) in done.stderr


@pytest.mark.parametrize("count", ["-5", "many", "1.5", "\u0663"])
def test_wrong_counts_are_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], count: str
) -> None:
    with pytest.raises(SystemExit):
        main(["reconstruct", "x.jpg", "-o", "x", "--max-triangles", count])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"argument --max-triangles: {count!r} is not a number of at least 0")


def test_a_token_and_its_entry_are_kept_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.toml"
    assert main(["token", "shop", "--append", str(file)]) == 0
    token = capsys.readouterr().out.strip()
    assert token not in file.read_text()
    assert hashlib.sha256(token.encode()).hexdigest() in file.read_text()
    assert main(["token", "lab"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() not in said.err
    assert hashlib.sha256(said.out.strip().encode()).hexdigest() in said.err
    # No entry, no token.
    assert main(["token", "shop", "--append", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"protome: {file} has an entry for shop; add the new sha256 to its list\n"


def test_an_interrupted_import_is_silent(tmp_path: Path) -> None:
    (tmp_path / "grpc.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-m", "protome", "--version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == b""


def test_unknown_variable_is_named() -> None:
    complains(_refuse(env={"PROTOME_MAX_FACE": "3"}), "max_face")


@pytest.mark.parametrize("flag", ["--port", "--metrics-port", "--web-port"])
def test_port_in_use_is_named(flag: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        complains(_serve(flag, port, "--workers", "1", "--max-batch", "1"), port)


def _model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    return folder


def test_model_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    folder = _model(tmp_path)
    onnx = bytearray((folder / "model.onnx").read_bytes())
    onnx[len(onnx) // 2] ^= 1
    (folder / "model.onnx").write_bytes(onnx)
    complains(_serve("--model-dir", folder), "SHA-256", str(folder))


def test_model_card_that_is_broken_is_refused(tmp_path: Path) -> None:
    folder = _model(tmp_path)
    (folder / "model.json").write_text("{}")
    complains(_serve("--model-dir", folder), "model.json")


def test_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    folder = _model(tmp_path)
    (folder / "model.onnx").write_bytes(b"no network")
    card = json.loads((folder / "model.json").read_text())
    card["digest"] = hashlib.sha256(b"no network").hexdigest()
    (folder / "model.json").write_text(json.dumps(card))
    complains(_serve("--model-dir", folder, "--workers", "1"), "model")


def test_own_copy_of_the_model_is_served(tmp_path: Path) -> None:
    flags = ["--model-dir", str(_model(tmp_path)), "--workers", "1", "--max-batch", "1"]
    with EmbeddedServer(flags) as running:
        assert running.address


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_cuda_is_refused_where_there_is_none() -> None:
    complains(_serve("--provider", "cuda", "--workers", "1"), "CUDA")
