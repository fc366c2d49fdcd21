"""Define and load the settings of a server: defaults < TOML file < environment < flags."""

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
# Upper limit of counts and of seconds without one of their own.
MAX_COUNT: Final = 1_000_000
MAX_THREADS: Final = 1024
MAX_BYTES: Final = 1 << 40
# gRPC clients refuse messages over 4 MiB by default; the rest is for the other fields.
MAX_CHUNK_BYTES: Final = 4 * MIB - 64 * 1024


class ConfigError(ValueError):
    """A setting is unknown, has the wrong type, or is out of range; the message names it."""


def _option(
    default: Any,
    help_: str,
    *,
    low: float = -math.inf,
    high: float = MAX_COUNT,
    off: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    metadata = {"help": help_, "low": low, "high": high, "off": off, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a server.

    Each is a flag (``--max-faces``), an environment variable (``PROTOME_MAX_FACES``) and a key of
    the TOML file (``max_faces``).

    Raises:
        ConfigError: a value is out of range.
    """

    host: str = _option("0.0.0.0", "address of the gRPC port and of the web port")
    port: int = _option(50051, "gRPC port; 0 picks a free one", low=0, high=65535)
    web: bool = _option(True, "serve the page and plain HTTP beside gRPC")
    web_port: int = _option(
        8080, "port of the page and of plain HTTP; 0 picks a free one", low=0, high=65535
    )
    web_origins: str = _option(
        "", "origins whose pages may call over HTTP (CORS), separated by commas; empty: none"
    )
    metrics_host: str = _option("0.0.0.0", "address of the HTTP listener")
    metrics_port: int = _option(
        9464, "HTTP port of /metrics, /healthz and /readyz; 0 picks a free one", low=0, high=65535
    )
    tls_cert: str = _option("", "PEM file with the server's certificate chain; empty: plain text")
    tls_key: str = _option("", "PEM file with the private key of tls_cert")
    tls_client_ca: str = _option(
        "", "CA bundle that verifies client certificates; empty: no mutual TLS"
    )
    token_file: str = _option(
        "", "TOML file with accepted tokens and their quotas; empty: no token needed"
    )
    port_file: str = _option(
        "", "file to write 'GRPC_PORT METRICS_PORT WEB_PORT' to once ready; empty: none"
    )

    model_dir: str = _option(
        "", "folder with model.onnx, head.npz and model.json; empty: the shipped model"
    )
    provider: str = _option(
        "auto",
        "ONNX Runtime execution provider; auto uses CUDA if it works",
        choices=("auto", "cpu", "cuda", "tensorrt"),
    )
    engine_cache: str = _option("", "folder where TensorRT caches its engines; empty: no cache")
    inference_threads: int = _option(
        1,
        "CPU threads per batch; more help a single client and slow down many",
        low=1,
        high=MAX_THREADS,
    )
    max_batch: int = _option(
        0, "largest batch, faces; 0: 32 on a GPU, 2 on a CPU", low=0, high=MAX_THREADS
    )
    max_batches: int = _option(
        0, "batches in flight; 0: 2 on a GPU, one per core on a CPU", low=0, high=MAX_THREADS
    )

    workers: int = _option(
        0,
        "worker processes, which decode and build meshes; 0: one per core",
        low=0,
        high=MAX_THREADS,
    )
    task_seconds: float = _option(
        20.0, "time limit of a worker's task, seconds; its worker is then killed", low=0.1
    )
    worker_memory: int = _option(
        1536 * MIB, "a worker's memory limit, bytes; 0: none", low=256 * MIB, high=MAX_BYTES, off=0
    )

    max_requests: int = _option(128, "photos in progress; more are rejected", low=1)
    send_seconds: float = _option(
        30.0, "cancel a call whose client has not read its response for this many seconds", low=0.1
    )
    max_held_bytes: int = _option(
        128 * MIB,
        "bytes held for photos in progress; above that, new photos are rejected",
        low=1,
        high=MAX_BYTES,
    )
    receive_seconds: float = _option(
        60.0,
        "cancel a call whose photo has not arrived, or an idle stream, after this many seconds",
        low=0.1,
    )
    slow_uploads: int = _option(
        4, "uploads in progress that took over 2 s; one more cancels the oldest", low=1
    )
    max_streams: int = _option(16, "open ReconstructMany streams; more are rejected", low=1)
    max_stream_photos: int = _option(
        8, "photos in progress per ReconstructMany stream; the server then stops reading", low=1
    )

    max_connections: int = _option(
        4096, "open client connections; fewer if the limit on open files is lower", low=1
    )
    max_calls: int = _option(16384, "open calls, health checks included; gRPC rejects more", low=1)
    max_connection_calls: int = _option(
        1024, "open calls per connection; gRPC clients queue more", low=1
    )
    connection_seconds: float = _option(
        3600.0, "age at which clients are asked to reconnect, seconds", low=0.1
    )
    idle_seconds: float = _option(
        600.0, "close connections without a call after this many seconds", low=0.1
    )

    max_image_bytes: int = _option(20 * MIB, "largest photo file, bytes", low=1, high=512 * MIB)
    max_image_pixels: int = _option(52_000_000, "largest photo, pixels", low=1, high=1 << 30)
    max_unscaled_pixels: int = _option(
        26_000_000,
        "largest PNG, WebP or AVIF, which take the most memory to decode, pixels",
        low=1,
        high=1 << 30,
    )
    max_scans: int = _option(
        100,
        "scans of a progressive JPEG; a fifth of them if it is decoded at full size",
        low=1,
    )
    max_faces: int = _option(32, "largest number of faces per photo", low=1, high=64)
    min_face_pixels: int = _option(20, "smallest width of a face, photo pixels", low=1)
    min_score: float = _option(0.6, "lowest confidence of the face detector, 0 to 1", low=0, high=1)
    chunk_bytes: int = _option(
        512 * 1024, "size of a mesh chunk, bytes", low=1024, high=MAX_CHUNK_BYTES
    )

    keepalive_seconds: float = _option(
        60.0, "idle seconds before an HTTP/2 keepalive ping", low=0.1
    )
    drain_delay: float = _option(
        0.5, "seconds between reporting NOT_SERVING and refusing new calls", low=0
    )
    drain_seconds: float = _option(
        25.0, "seconds that calls in flight have to finish at shutdown", low=0
    )
    log_level: str = _option(
        "info", "lowest severity that is logged", choices=("debug", "info", "warning", "error")
    )
    log_format: str = _option("text", "format of log lines", choices=("text", "json"))
    spans: str = _option(
        "off",
        "OpenTelemetry exporter: standard output, or OTLP over HTTP (OTEL_* variables)",
        choices=("off", "console", "otlp"),
    )

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            low, high, off, choices = map(option.metadata.get, ("low", "high", "off", "choices"))
            # This form also rejects NaN.
            if not (isinstance(value, str) or low <= value <= high or value == off):
                nor = "" if off is None else f", nor {off}"
                raise ConfigError(f"{option.name} is {value}, not within {low} to {high}{nor}")
            if choices and value not in choices:
                raise ConfigError(f"{option.name} is {value!r}, not one of {', '.join(choices)}")

    @property
    def max_message_bytes(self) -> int:
        """Largest message that gRPC receives.

        It has room for a photo somewhat over ``max_image_bytes``, which then gets an error that
        names the limit. gRPC ends calls with larger messages itself.
        """
        return self.max_image_bytes + 4 * MIB

    @property
    def worker_count(self) -> int:
        """Number of worker processes."""
        return self.workers or cores()


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    # Unlike os.cpu_count, this respects taskset and the cpuset of a container.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and a flag for each setting to a parser."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML file with settings")
    for option in dataclasses.fields(Config):
        kind = type(option.default)
        default = "" if option.default == "" else f" (default: {option.default})"
        if kind is bool:
            parser.add_argument(
                "--" + option.name.replace("_", "-"),
                dest=option.name,
                default=None,
                action=argparse.BooleanOptionalAction,
                help=f"{option.metadata['help']}{default} [{PREFIX}{option.name.upper()}]",
            )
            continue
        parser.add_argument(
            "--" + option.name.replace("_", "-"),
            dest=option.name,
            default=None,
            choices=option.metadata["choices"] or None,
            metavar=None if option.metadata["choices"] else kind.__name__.upper(),
            help=f"{option.metadata['help']}{default} [{PREFIX}{option.name.upper()}]",
        )


def load(
    flags: Mapping[str, str | bool | None], environ: Mapping[str, str], file: Path | None
) -> Config:
    """Load the settings.

    Args:
        flags: values from the command line by setting; None if not given.
        environ: environment variables.
        file: a TOML file, or None.

    Raises:
        ConfigError: a setting is unknown or invalid, or the file cannot be read.
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
    """Return whether Kubernetes set the variable for a Service named protome or protome-*."""
    if name.endswith("PORT") and "://" in value:
        return True
    link = r"(\w+_)?(SERVICE_(HOST|PORT)\w*|PORT_\d+_(TCP|UDP|SCTP)\w*)"
    return re.fullmatch(link, name) is not None


def _typed(name: str, kind: type, value: Any) -> Any:
    if isinstance(value, str) and kind is bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        if value.lower() not in words:
            raise ConfigError(f"{name} is {value!r}, not true or false")
        return words[value.lower()]
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
