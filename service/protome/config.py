"""The one configuration object of a server: defaults < TOML file < environment < flags."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "PROTOME_"
MIB: Final = 1 << 20


class ConfigError(ValueError):
    """A setting is unknown, of the wrong type, or out of range; the message names it."""


def _option(
    default: Any,
    help_: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    choices: Sequence[str] = (),
) -> Any:
    metadata = {"help": help_, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a server. Each is a flag (``--max-faces``), an environment variable
    (``PROTOME_MAX_FACES``) and a key of the TOML file (``max_faces``)."""

    host: str = _option("0.0.0.0", "address to listen on")
    port: int = _option(50051, "gRPC port; 0 picks a free one", low=0, high=65535)
    metrics_host: str = _option("0.0.0.0", "address of the HTTP listener")
    metrics_port: int = _option(
        9464, "HTTP port of /metrics, /healthz and /readyz; 0 picks a free one", low=0, high=65535
    )
    tls_cert: str = _option(
        "", "PEM file with the server's certificate and those that vouch for it; empty: plain text"
    )
    tls_key: str = _option("", "PEM file with its private key")
    tls_client_ca: str = _option(
        "", "PEM file with certificates that clients must be vouched for by; empty: any client"
    )
    token_file: str = _option(
        "", "TOML file with the tokens that are let in and their quotas; empty: everybody"
    )
    port_file: str = _option("", "write 'GRPC_PORT HTTP_PORT' to this file once ready")

    model_dir: str = _option("", "folder with model.onnx and model.json; empty: the one shipped")
    provider: str = _option(
        "auto",
        "ONNX Runtime execution provider; auto takes CUDA where it works",
        choices=("auto", "cpu", "cuda", "tensorrt"),
    )
    engine_cache: str = _option("", "folder where TensorRT keeps its engines; empty: nowhere")
    inference_threads: int = _option(
        1, "threads of one batch on the CPU; more are faster for one client, slower for many", low=1
    )
    max_batch: int = _option(0, "faces in one batch; 0: 32 on a GPU, 2 on the CPU", low=0)
    max_batches: int = _option(
        0, "batches in flight at a time; 0: 2 on a GPU, on the CPU as many as cores", low=0
    )

    workers: int = _option(0, "processes for decoding and meshing; 0: one a core", low=0)
    task_seconds: float = _option(
        20.0, "a task that takes longer than this loses its worker, seconds", low=0.1
    )
    worker_memory: int = _option(
        1536 * MIB, "memory of its own that a worker may take, bytes; 0: no limit", low=0
    )

    max_requests: int = _option(128, "photos worked on at a time; more are rejected", low=1)
    send_seconds: float = _option(
        30.0, "a client that takes nothing of its answer for so long is hung up on", low=0.1
    )
    max_held_bytes: int = _option(
        128 * MIB,
        "bytes held for the photos being worked on; over that, new ones are rejected",
        low=1,
    )
    receive_seconds: float = _option(
        60.0,
        "a client that takes longer to send its photo, or leaves its stream idle for so long, "
        "is hung up on",
        low=0.1,
    )
    slow_uploads: int = _option(
        16, "uploads that may take longer than 2 s at a time; one more ends the oldest", low=1
    )
    max_streams: int = _option(16, "ReconstructMany streams open at a time", low=1)
    max_stream_photos: int = _option(
        8, "photos of one ReconstructMany stream worked on at a time", low=1
    )

    max_connections: int = _option(
        4096, "connections of clients at a time; fewer where fewer files may be open", low=1
    )
    max_calls: int = _option(
        16384, "calls open at a time, those of health among them; more are refused unread", low=1
    )
    max_connection_calls: int = _option(
        1024, "calls of one connection at a time; gRPC clients wait with more", low=1
    )
    connection_seconds: float = _option(
        3600.0, "age at which clients are asked to connect anew, seconds", low=0.1
    )
    idle_seconds: float = _option(
        600.0, "connections without a call are closed after so long, seconds", low=0.1
    )

    max_image_bytes: int = _option(20 * MIB, "largest encoded photo, bytes", low=1, high=512 * MIB)
    max_image_pixels: int = _option(50_000_000, "largest photo, pixels", low=1, high=1 << 30)
    max_unscaled_pixels: int = _option(
        16_800_000,
        "largest PNG or WebP, which have to be decoded whole, pixels",
        low=1,
        high=1 << 30,
    )
    max_scans: int = _option(
        100,
        "scans of a progressive JPEG, each a pass over its pixels; a fifth of them at full size",
        low=1,
    )
    max_faces: int = _option(16, "faces of one photo", low=1, high=64)
    min_face_pixels: int = _option(20, "width of the smallest face, photo pixels", low=1)
    min_score: float = _option(0.6, "least confidence of the face detector, 0 to 1", low=0, high=1)
    chunk_bytes: int = _option(512 * 1024, "size of a mesh chunk, bytes", low=1024)

    keepalive_seconds: float = _option(
        60.0, "a connection silent for so long is asked for a sign of life", low=0.1
    )
    drain_delay: float = _option(
        0.5, "seconds between saying NOT_SERVING and refusing new calls", low=0
    )
    drain_seconds: float = _option(25.0, "seconds that calls in flight get to finish", low=0)
    log_level: str = _option(
        "info", "least severity logged", choices=("debug", "info", "warning", "error")
    )
    log_format: str = _option("text", "a line of text or of JSON each", choices=("text", "json"))
    spans: str = _option(
        "off",
        "where OpenTelemetry spans go: standard output, or OTLP over HTTP as OTEL_* variables say",
        choices=("off", "console", "otlp"),
    )

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            low, high = option.metadata["low"], option.metadata["high"]
            choices = option.metadata["choices"]
            # Written so that NaN fails.
            if not isinstance(value, str) and not low <= value <= high:
                raise ConfigError(f"{option.name} is {value}, not within {low} to {high}")
            if choices and value not in choices:
                raise ConfigError(f"{option.name} is {value!r}, not one of {', '.join(choices)}")

    @property
    def worker_count(self) -> int:
        """Worker processes to run."""
        return self.workers or cores()


def cores() -> int:
    """Processors this process may use."""
    # Respects taskset and the cpuset of a container, unlike os.cpu_count.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and a flag for each setting."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML file with settings")
    for option in dataclasses.fields(Config):
        kind = type(option.default)
        default = "" if option.default == "" else f" (default: {option.default})"
        parser.add_argument(
            "--" + option.name.replace("_", "-"),
            dest=option.name,
            default=None,
            choices=option.metadata["choices"] or None,
            metavar=None if option.metadata["choices"] else kind.__name__.upper(),
            help=f"{option.metadata['help']}{default} [{PREFIX}{option.name.upper()}]",
        )


def load(flags: Mapping[str, str | None], environ: Mapping[str, str], file: Path | None) -> Config:
    """Build the configuration.

    Args:
        flags: values given on the command line, by setting; None where not given.
        environ: the environment.
        file: a TOML file, or None.

    Raises:
        ConfigError: a setting is unknown or wrong, or the file cannot be read.
    """
    values: dict[str, Any] = {}
    known = {option.name: type(option.default) for option in dataclasses.fields(Config)}
    if file is not None:
        try:
            values.update(tomllib.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {file}: {error}") from None
    for name, value in environ.items():
        if name.startswith(PREFIX) and not _is_service_link(name.removeprefix(PREFIX), value):
            values[name.removeprefix(PREFIX).lower()] = value
    values.update({name: value for name, value in flags.items() if value is not None})
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"unknown setting: {', '.join(unknown)}")
    return Config(**{name: _typed(name, known[name], value) for name, value in values.items()})


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set the variable, for a Service called protome or protome-something."""
    if name.endswith("PORT") and "://" in value:
        return True
    link = r"(\w+_)?(SERVICE_(HOST|PORT)\w*|PORT_\d+_(TCP|UDP|SCTP)\w*)"
    return re.fullmatch(link, name) is not None


def _typed(name: str, kind: type, value: Any) -> Any:
    if isinstance(value, str) and kind is not str:
        try:
            return kind(value)
        except ValueError:
            raise ConfigError(f"{name} is {value!r}, which is not {kind.__name__}") from None
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} is {value!r}, which is not {kind.__name__}")
    return value
