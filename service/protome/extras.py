"""Tell users of the client alone what the server needs."""

from __future__ import annotations

from importlib.util import find_spec


class ServerMissing(ImportError):
    """The server is not installed, only the client."""


def require_server(purpose: str) -> None:
    """Check that the server is installed beside the client.

    Args:
        purpose: what needs it, the subject of the error message.

    Raises:
        ServerMissing: it is not.
    """
    if find_spec("onnxruntime") is None:
        raise ServerMissing(
            f"{purpose} needs the server, and only the client is installed: "
            "pip install 'protome[server]'"
        )
