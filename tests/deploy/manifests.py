"""What is in an overlay that kustomize built."""

from __future__ import annotations

import tomllib
from typing import Any, Final

from protome import config

from .conftest import one

# Name of the Deployment of overlays/second-instance.
SECOND: Final = "protome-second"


def pod(built: str) -> dict[str, Any]:
    """The pod template's spec."""
    spec: dict[str, Any] = one(built, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(built: str) -> dict[str, Any]:
    """The one container."""
    (found,) = pod(built)["containers"]
    result: dict[str, Any] = found
    return result


def settings(built: str) -> config.Config:
    """The configuration of the pods, by the server's own rules."""
    name = next(v["configMap"]["name"] for v in pod(built)["volumes"] if "configMap" in v)
    values = tomllib.loads(one(built, "ConfigMap", name)["data"]["protome.toml"])
    for variable in container(built).get("env", []):
        if variable["name"].startswith(config.PREFIX):
            values[variable["name"].removeprefix(config.PREFIX).lower()] = variable["value"]
    return config.load(values, {}, None)
