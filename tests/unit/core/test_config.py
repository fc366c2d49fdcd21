"""Settings: defaults < TOML file < environment < flags, checked one by one."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from protome.config import PREFIX, Config, ConfigError, add_flags, cores, load

NAMES = [option.name for option in dataclasses.fields(Config)]


def toml(folder: Path, text: str) -> Path:
    file = folder / "protome.toml"
    file.write_text(text, encoding="utf-8")
    return file


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_flags(made)
    return made


def test_defaults_hold_without_any_source() -> None:
    assert load({}, {}, None) == Config()


def test_later_sources_win(tmp_path: Path) -> None:
    file = toml(tmp_path, 'port = 1\nmax_faces = 1\nhost = "file"\nchunk_bytes = 2048\n')
    environ = {"PROTOME_PORT": "2", "PROTOME_MAX_FACES": "2"}
    config = load({"port": "3", "host": None}, environ, file)
    assert (config.port, config.max_faces) == (3, 2)
    assert (config.host, config.chunk_bytes) == ("file", 2048)


def test_other_environment_variables_are_ignored() -> None:
    assert load({}, {"PATH": "/bin", "MY_PROTOME_PORT": "5"}, None) == Config()


def test_variables_of_a_kubernetes_service_named_protome_are_ignored() -> None:
    links = {
        "PROTOME_SERVICE_HOST": "10.0.0.7",
        "PROTOME_SERVICE_PORT": "50051",
        "PROTOME_SERVICE_PORT_GRPC": "50051",
        "PROTOME_PORT": "tcp://10.0.0.7:50051",
        "PROTOME_PORT_50051_TCP": "tcp://10.0.0.7:50051",
        "PROTOME_PORT_50051_TCP_ADDR": "10.0.0.7",
        "PROTOME_METRICS_SERVICE_HOST": "10.0.0.8",
        "PROTOME_METRICS_PORT": "tcp://10.0.0.8:9464",
        "PROTOME_METRICS_PORT_9464_TCP_PROTO": "tcp",
    }
    assert load({}, links, None) == Config()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_a_flag_a_variable_and_a_key(name: str, tmp_path: Path) -> None:
    default = getattr(Config(), name)
    limits = next(o.metadata for o in dataclasses.fields(Config) if o.name == name)
    choices = limits["choices"]
    value: Any = {
        int: min(max(1234, limits["low"]), limits["high"]),
        float: 0.75,
        str: choices[-1] if choices else "other",
        bool: not default,
    }[type(default)]
    dashed = name.replace("_", "-")
    given = [f"--no-{dashed}"] if value is False else [f"--{dashed}", str(value)]
    flag = parser().parse_args(given)
    flags = {key: read for key, read in vars(flag).items() if key != "config"}
    expected = dataclasses.replace(Config(), **{name: value})
    assert expected != Config()
    assert load(flags, {}, None) == expected
    assert load({}, {PREFIX + name.upper(): str(value)}, None) == expected
    text = f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}".lower()
    assert load({}, {}, toml(tmp_path, text)) == expected


def test_flags_that_are_not_given_are_none() -> None:
    assert set(vars(parser().parse_args([])).values()) == {None}


def test_help_names_every_setting_its_variable_and_default() -> None:
    text = " ".join(parser().format_help().split())
    for option in dataclasses.fields(Config):
        assert "--" + option.name.replace("_", "-") in text
        assert f"[{PREFIX}{option.name.upper()}]" in text
        assert option.metadata["help"].split(";")[0] in text


@pytest.mark.parametrize(
    ("flags", "environ", "text"),
    [
        ({"ports": "1"}, {}, ""),
        ({}, {"PROTOME_PROT": "1"}, ""),
        ({}, {}, "prot = 1"),
        ({}, {}, "[server]\nport = 1"),
    ],
)
def test_unknown_settings_are_named(
    flags: dict[str, str], environ: dict[str, str], text: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"unknown setting: (ports|prot|server)"):
        load(flags, environ, toml(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "port = 1.5",
        "port = true",
        'port = "many"',
        "port = []",
        "port = {a = 1}",
        "host = 5",
        "task_seconds = true",
        'task_seconds = "soon"',
        "port = 1979-05-27",
    ],
)
def test_wrong_types_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text.split(" =")[0]):
        load({}, {}, toml(tmp_path, text))


@pytest.mark.parametrize("value", ["", "1.5", "0x10", "nan", "one"])
def test_variables_that_are_not_integers_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="port"):
        load({}, {"PROTOME_PORT": value}, None)


def test_integers_are_accepted_for_floats(tmp_path: Path) -> None:
    config = load({}, {}, toml(tmp_path, "task_seconds = 7"))
    assert config.task_seconds == 7
    assert isinstance(config.task_seconds, float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("metrics_port", 70000),
        ("workers", -1),
        ("max_batch", -1),
        ("task_seconds", 0.0),
        ("max_requests", 0),
        ("max_image_bytes", 0),
        ("max_faces", 0),
        ("chunk_bytes", 1023),
        ("chunk_bytes", 4 << 20),
        ("workers", 100_000),
        ("max_batch", 100_000),
        ("max_streams", -5),
        ("max_connections", 1 << 40),
        ("idle_seconds", 1e300),
        ("worker_memory", 1 << 60),
        ("worker_memory", 1),
        ("min_score", -0.1),
        ("min_score", 1.1),
        ("drain_seconds", -1.0),
        ("provider", "tpu"),
        ("log_level", "loud"),
    ],
)
def test_values_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        load({name: str(value)}, {}, None)


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(getattr(Config(), n), float)])
def test_nan_is_out_of_every_range(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load({name: "nan"}, {}, None)


@pytest.mark.parametrize("text", ["port = ", "port 5", "a = 1\na = 2"])
def test_a_file_that_is_not_toml(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load({}, {}, toml(tmp_path, text))


def test_a_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load({}, {}, tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        load({}, {}, binary)


def test_the_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]


def test_zero_means_one_for_each_core() -> None:
    assert Config().worker_count >= 1
    assert cores() >= 1
    assert Config(workers=3).worker_count == 3
    assert Config(workers=0).worker_count == cores()
