"""The real tools, and what kustomize builds with them."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
import yaml

from tests.support.tools import DEPLOY, Tools, installed

OVERLAYS: Final = sorted(path.name for path in (DEPLOY / "overlays").iterdir())
# GPU pods that scale and speak mutual TLS, as deploy/README.md tells to combine them.
COMBINED: Final = ("autoscale-hpa", "mtls")
TOGETHER: Final = "gpu+" + "+".join(COMBINED)


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The tools; absent only where they cannot be installed, and never in CI."""
    return installed()


@pytest.fixture(scope="session")
def overlays(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What kustomize builds, by overlay."""
    found = {name: tools.build(DEPLOY / "overlays" / name) for name in OVERLAYS}
    folder = tmp_path_factory.mktemp("combined")
    # kustomize takes relative paths only.
    deploy = os.path.relpath(DEPLOY, folder.resolve())
    kustomization = {
        "resources": [f"{deploy}/overlays/gpu"],
        "components": [f"{deploy}/components/{part}" for part in COMBINED],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return {**found, TOGETHER: tools.build(folder)}


@pytest.fixture(params=[*OVERLAYS, TOGETHER])
def built(request: pytest.FixtureRequest, overlays: dict[str, str]) -> str:
    """Each overlay as kustomize builds it."""
    return overlays[request.param]


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a YAML stream."""
    return list(yaml.safe_load_all(text))


def one(text: str, kind: str, name: str | None = None) -> dict[str, Any]:
    """The one object of a kind (and name) in a YAML stream."""
    found = [
        item
        for item in objects(text)
        if item["kind"] == kind and name in (None, item["metadata"]["name"])
    ]
    assert len(found) == 1, f"{len(found)} objects are a {kind} {name or ''}"
    return found[0]
