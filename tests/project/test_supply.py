"""What the service is shipped with: the lock file and the bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = (ROOT / "deploy" / "requirements.lock").read_text(encoding="utf-8")


def pins() -> list[tuple[Requirement, int]]:
    """Each pinned requirement and how many hashes it has."""
    blocks = re.split(r"\n(?=[a-z0-9])", "\n" + re.sub(r"^#.*\n|^    #.*\n", "", LOCK, flags=re.M))
    found = []
    for block in filter(None, map(str.strip, blocks)):
        first = block.split("\\")[0].strip()
        found.append((Requirement(first), len(re.findall(r"--hash=sha256:[0-9a-f]{64}", block))))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_is_pinned_with_hashes() -> None:
    assert len(pins()) > 20
    for requirement, hashes in pins():
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert hashes > 0, requirement


def test_the_lock_has_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["server"], *extras["otel"]]
    # Extras refer to each other.
    others = [one for one in map(Requirement, asked) if one.name != project["name"]]
    locked: dict[str, list[str]] = {}
    for pin, _ in pins():
        locked.setdefault(normal(pin.name), []).append(str(pin.specifier).removeprefix("=="))
    for requirement in others:
        versions = locked.get(normal(requirement.name), [])
        assert versions, f"{requirement} is not locked; see deploy/README.md"
        assert all(requirement.specifier.contains(v, prereleases=True) for v in versions)


@pytest.fixture(scope="module")
def audit(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The bill of materials, and what the audit said."""
    folder = tmp_path_factory.mktemp("audit")
    command = [sys.executable, str(ROOT / ".ci" / "audit"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    return folder / "sbom.json", done


def test_the_bill_of_materials_lists_what_is_locked(
    audit: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    # Here, since it takes seconds and every process imports this module.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = audit[0].read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    listed = {(normal(c["name"]), c["version"]) for c in json.loads(text)["components"]}
    assert listed == {(normal(p.name), str(p.specifier).removeprefix("==")) for p, _ in pins()}


def test_nothing_that_is_locked_is_known_to_be_vulnerable(
    audit: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    done = audit[1]
    if done.returncode == 3:
        pytest.skip(f"not all could be asked about: {done.stdout.splitlines()[-2]}")
    assert done.returncode == 0, done.stdout + done.stderr
