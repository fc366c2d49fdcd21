"""The model on disk: nothing is served that is not what its card says."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protome.model.card import SHIPPED, Model, ModelError, load_model

Card = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small stand-in: the loader does not look into the files that the card describes."""
    onnx = b"not really a network"
    (tmp_path / "model.onnx").write_bytes(onnx)
    card = json.loads((SHIPPED / "model.json").read_text(encoding="utf-8"))
    card["digest"] = hashlib.sha256(onnx).hexdigest()
    (tmp_path / "head.npz").write_bytes(b"not really a head")
    card["head"]["sha256"] = hashlib.sha256(b"not really a head").hexdigest()
    (tmp_path / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return tmp_path


def edit(folder: Path, change: Callable[[Card], object]) -> None:
    file = folder / "model.json"
    card = json.loads(file.read_text(encoding="utf-8"))
    change(card)
    file.write_text(json.dumps(card), encoding="utf-8")


def test_the_shipped_model_is_whole(model: Model) -> None:
    assert model.digest == hashlib.sha256((SHIPPED / "model.onnx").read_bytes()).hexdigest()
    assert model.name
    assert model.version
    assert model.licence
    assert model.training_data
    head = (SHIPPED / "head.npz").read_bytes()
    card = json.loads((SHIPPED / "model.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(head).hexdigest() == card["head"]["sha256"]
    assert model.head == SHIPPED / "head.npz"
    assert 1000 < model.vertex_count < 15_900


def test_a_face_is_covered_from_the_cards_share_on(folder: Path) -> None:
    output = {"name": "covered", "dtype": "float32", "shape": ["n", 3], "from": 0.25}
    edit(folder, lambda card: card.update(covered=output))
    model = load_model(folder)
    assert model.covered == "covered"
    assert model.is_covered(np.array([0.75, 0, 0], np.float32))
    assert not model.is_covered(np.array([0.7, 0, 0], np.float32))
    assert not model.is_covered(None)


def test_a_model_without_that_output_calls_no_face_covered(folder: Path) -> None:
    edit(folder, lambda card: card.pop("covered", None))
    model = load_model(folder)
    assert model.covered is None
    assert not model.is_covered(None)


def test_a_good_folder_loads(folder: Path) -> None:
    assert load_model(folder).onnx == b"not really a network"


@pytest.mark.parametrize("name", ["model.onnx", "head.npz", "model.json"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match="cannot read the model"):
        load_model(folder)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the model"):
        load_model(tmp_path / "none")


@pytest.mark.parametrize("name", ["model.onnx", "head.npz"])
def test_a_truncated_file_is_noticed(tmp_path: Path, name: str) -> None:
    shutil.copytree(SHIPPED, tmp_path / "model")
    file = tmp_path / "model" / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match=f"{name} has SHA-256"):
        load_model(tmp_path / "model")


def test_a_truncated_card_is_noticed(folder: Path) -> None:
    file = folder / "model.json"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ModelError, match="cannot read the model"):
        load_model(folder)


@pytest.mark.parametrize("text", ["[]", "null", "5", '"x"', "{}", "\ufeff{}", "[" * 100_000])
def test_json_that_is_no_card(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError):
        load_model(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("digest"),
        lambda card: card.pop("name"),
        lambda card: card.pop("crop_rule"),
        lambda card: card["crop_rule"].pop("anchor"),
        lambda card: card["crop_rule"].update(side="wide"),
        lambda card: card["crop_rule"].update(side=0),
        lambda card: card["crop_rule"].update(side=-2.0),
        lambda card: card["crop_rule"].update(side=10**400),
        lambda card: card["confidence"].update(slope=float("nan")),
        lambda card: card["crop_rule"].update(drop=float("nan")),
        lambda card: card.pop("vertices"),
        lambda card: card["vertices"].update(shape=["n", 3, 9000]),
        lambda card: card["vertices"].update(shape=["n"]),
        lambda card: card["vertices"].update(shape=["n", "many", 3]),
        lambda card: card["vertices"].update(dtype="float16"),
        lambda card: card["vertices"].pop("name"),
        lambda card: card.pop("hair"),
        lambda card: card["hair"].update(shape=["n", 52, 52, 40]),
        lambda card: card["hair"].update(dtype="float32"),
        lambda card: card["grid"].update(crop_side_px=192),
        lambda card: card.pop("head"),
        lambda card: card["head"].update(sha256="0" * 64),
        lambda card: card.update(head=[]),
        lambda card: card["input"].update(shape=["n", 3, 208, 208]),
        lambda card: card["input"].update(shape=5),
        lambda card: card["input"].update(dtype="float16"),
        lambda card: card.update(digest="0" * 64),
        lambda card: card.update(landmarks={"name": "l", "dtype": "float32", "shape": ["n", 5]}),
        lambda card: card.update(pose={"name": "p", "dtype": "uint8", "shape": ["n", 3, 4]}),
    ],
    ids=[
        "no digest", "no name", "no rule", "no anchor", "wide side", "zero side", "negative side",
        "endless side", "slope is nan", "drop is nan", "no vertices",
        "turned vertices", "shapeless vertices", "vertices without number", "half vertices",
        "nameless vertices", "no hair", "turned hair", "float hair", "other grid", "no head",
        "wrong head", "list as head", "turned input", "shapeless input", "half input",
        "wrong digest", "wrong landmarks", "wrong pose",
    ],
)  # fmt: skip
def test_a_card_that_is_wrong(folder: Path, change: Callable[[Card], object]) -> None:
    edit(folder, change)
    with pytest.raises(ModelError):
        load_model(folder)
