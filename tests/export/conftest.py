"""Fixtures of the model factory's tests: a tiny head of our own, nothing downloaded."""

from __future__ import annotations

import cv2
import pytest
import torch

from protome_export.headmodel import HeadModel, load_head
from protome_export.shapespace import Poser, ShapeSpace, build_space
from protome_export.synth import Synthesizer

torch.set_num_threads(1)
cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def head() -> HeadModel:
    return load_head("tiny")


@pytest.fixture(scope="session")
def poser(head: HeadModel) -> Poser:
    return Poser(head)


@pytest.fixture(scope="session")
def space(head: HeadModel) -> ShapeSpace:
    return build_space(head, modes=8, count=60)


@pytest.fixture(scope="session")
def synthesizer(head: HeadModel) -> Synthesizer:
    return Synthesizer(head, None)
