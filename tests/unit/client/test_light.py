"""The client works where the server is not installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

import pytest

from protome.cli import main
from protome.embedded import EmbeddedServer
from protome.extras import ServerMissing

GRPC = ("grpc", "cython", "_cython")
LISTING = """
import sys
before = set(sys.modules)
import protome.cli, protome.client, protome.embedded
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*(names - sys.stdlib_module_names))
"""


def test_the_client_and_the_command_import_what_the_client_needs() -> None:
    """Whatever else is imported is not installed with it."""
    command = [sys.executable, "-c", LISTING]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # gRPC imports its optional packages itself.
    packages = {name for name in done.stdout.split() if not name.startswith(GRPC)}
    assert packages - {"typing_extensions"} == {"protome", "google"}


@pytest.fixture
def without_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name == "onnxruntime" else find_spec(name)

    monkeypatch.setattr("protome.extras.find_spec", find)


@pytest.mark.usefixtures("without_server")
@pytest.mark.parametrize(
    ("command", "purpose"),
    [
        ("serve", "protome serve"),
        ("demo -o out", "protome demo"),
        ("bench", "protome bench"),
        ("view face.glb", "protome view"),
        ("info", "a command without --address"),
        ("reconstruct face.jpg -o /dev/null/out --preview", "--preview"),
    ],
)
def test_a_command_that_needs_the_server_says_so(
    command: str, purpose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.split()) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"protome: {purpose} needs the server")
    assert said.endswith("pip install 'protome[server]'\n")


@pytest.mark.usefixtures("without_server")
def test_a_server_that_is_missing_cannot_be_started() -> None:
    with pytest.raises(ServerMissing, match="starting a server"), EmbeddedServer():
        pass
