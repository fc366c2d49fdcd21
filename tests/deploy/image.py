"""The steps of a Dockerfile, carried out without a container engine.

Each stage is an overlay on a bare Debian; RUN is carried out in a chroot, so the steps are those
of the Dockerfile, letter for letter. Needs root and Linux.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import string
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# What a container engine lends to builds from its host.
LENT: Final = ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt")


@dataclass
class Image:
    """A built stage.

    Attributes:
        root: its file system, mounted.
        env: its environment.
        labels: its labels.
        user: (uid, gid) it runs as.
        command: ENTRYPOINT and CMD.
    """

    root: Path
    env: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    user: tuple[int, int] = (0, 0)
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, the rest) of each line of a Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found = [line.strip().partition(" ") for line in text.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, _, rest in found]


class Builder:
    """Carries out a Dockerfile.

    Args:
        base: file system that stands in for the base image.
        context: the build context.
        work: an empty folder.
        arguments: build arguments.
    """

    def __init__(self, base: Path, context: Path, work: Path, arguments: dict[str, str]) -> None:
        self._base, self._context, self._work = base, context, work
        self._given = arguments
        self._stages: dict[str, Image] = {}

    @contextlib.contextmanager
    def build(self, dockerfile: Path) -> Iterator[Image]:
        """The last stage, for as long as the block lasts."""
        with contextlib.ExitStack() as mounts:
            image: Image | None = None
            values: dict[str, str] = {}
            for word, rest in instructions(dockerfile.read_text(encoding="utf-8")):
                if word == "FROM":
                    _, _, name = rest.partition(" AS ")
                    image, values = mounts.enter_context(self._stage(name)), {}
                elif word == "ARG":
                    key, _, default = rest.partition("=")
                    values[key] = self._given.get(key, default)
                else:
                    assert image is not None
                    self._step(image, word, rest, values)
            assert image is not None
            yield image

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[Image]:
        folder = self._work / (name or "final")
        upper, scratch, root = (folder / part for part in ("upper", "scratch", "root"))
        for part in (upper, scratch, root):
            part.mkdir(parents=True)
        layers = f"lowerdir={self._base},upperdir={upper},workdir={scratch}"
        with _mounted("-t", "overlay", "overlay", "-o", layers, root):
            for path in LENT:
                shutil.copy(f"/{path}", root / path)
            # The official image has its Python there.
            (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
            image = self._stages[name] = Image(root, env)
            yield image

    def _step(self, image: Image, word: str, rest: str, values: dict[str, str]) -> None:
        known = {**values, **image.env}
        if word == "RUN":
            run(image, ["/bin/sh", "-euc", rest], extra=values)
        elif word == "COPY":
            self._copy(image, string.Template(rest).substitute(known))
        elif word == "ENV":
            image.env |= _pairs(rest)
        elif word == "LABEL":
            image.labels |= _pairs(string.Template(rest).substitute(known))
        elif word == "WORKDIR":
            image.folder = rest
            _inside(image, rest).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            uid, _, gid = rest.partition(":")
            image.user = (int(uid), int(gid))
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        elif word == "CMD":
            image.cmd = json.loads(rest)
        else:
            assert word in ("SHELL", "EXPOSE", "STOPSIGNAL"), word

    def _copy(self, image: Image, rest: str) -> None:
        *sources, target = rest.split()
        source_root = self._context
        if sources[0].startswith("--from="):
            source_root = self._stages[sources.pop(0).removeprefix("--from=")].root
        into = _inside(image, str(Path(image.folder) / target))
        for source in sources:
            # The context's root is the repository; an absolute path is a stage's.
            found = source_root / source.lstrip("/")
            if found.is_dir():
                # What .dockerignore leaves out of the context.
                left_out = ("__pycache__", "*.so") if source_root == self._context else ()
                ignore = shutil.ignore_patterns(*left_out)
                shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True, ignore=ignore)
            else:
                shutil.copy(found, into)


def run(image: Image, command: list[str], extra: dict[str, str]) -> None:
    """Carry out a command in an image, as root."""
    env = {**image.env, **extra, "PIP_CERT": f"/{LENT[1]}", "DEBIAN_FRONTEND": "noninteractive"}
    line = f"cd {shlex.quote(image.folder)} && exec {shlex.join(command)}"
    done = subprocess.run(
        ["unshare", "--mount", "chroot", image.root, "/bin/sh", "-c", line],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}"


def start(image: Image, args: list[str], mounts: dict[Path, str]) -> subprocess.Popen[bytes]:
    """Run an image as Kubernetes would: its user, root file system read-only, no capabilities.

    Args:
        image: the image.
        args: arguments in place of its CMD; empty: its CMD.
        mounts: folders to show in it, read-only, by where.
    """
    uid, gid = image.user
    steps = [f"mount --bind {image.root} {image.root}"]
    for source, target in mounts.items():
        _inside(image, target).mkdir(parents=True, exist_ok=True)
        steps.append(f"mount -o bind,ro {source} {image.root}{target}")
    steps += [
        f"mount -t proc proc {image.root}/proc",
        f"mount -o remount,bind,ro {image.root}",
    ]
    drop = shlex.join(
        ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs",
         "--inh-caps=-all", "--bounding-set=-all", *image.entrypoint, *(args or image.cmd)]
    )  # fmt: skip
    script = " && ".join([*steps, f"exec chroot {image.root} {drop}"])
    return subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-euc", script],
        env=image.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _pairs(text: str) -> dict[str, str]:
    return dict(item.split("=", 1) for item in shlex.split(text))


def _inside(image: Image, path: str) -> Path:
    return image.root / path.lstrip("/")


@contextlib.contextmanager
def _mounted(*args: str | Path) -> Iterator[None]:
    subprocess.run(["mount", *args], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", args[-1]], check=True)


def allowed() -> bool:
    """Whether this process may mount."""
    return os.geteuid() == 0 and all(map(shutil.which, ("unshare", "setpriv", "chroot", "mount")))
