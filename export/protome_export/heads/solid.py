"""Make the solid head: a closed mesh (face, ears, skull, neck) that follows the head model.

Every vertex is a fixed combination of head-model vertices, so identity and expression act on it
linearly. Eye holes are closed over the eyeball, from the landmarks on the eyelids' edges: what lies
behind the lids would leave gaps too thin to sample. The mouth is closed by a shallow cavity. The
neck is cut below the chin on the neutral head, and closed by a shallow dome.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .model import EYE, FACE, HEAD, MOUTH_SOCKET, OTHER, Floats, HeadModel, Ints

_MOUTH_DEPTH = 1.5  # cm that the mouth cavity reaches behind the lips
# The neck's end: cm below the lowest jaw landmark at the throat, cm lower per cm to the back, and
# cm higher per square cm to the sides, where the shoulders begin.
_BELOW_CHIN, _BACKWARDS, _SIDEWAYS = 5.0, 0.06, 0.035
_DOME = 1.2  # cm that the closed end bulges down
_END_RINGS = 6


@dataclass(frozen=True)
class SolidHead:
    """A closed mesh as linear combinations of head-model vertices.

    Attributes:
        matrix: (N, V) sparse weights.
        offset: (N, 3) cm.
        triangles: (T, 3), outward.
        part: (N,) the head model's part of a vertex; EYE, MOUTH_SOCKET and OTHER where a vertex was
            added to close an eye, the mouth or the neck.
        landmarks: (68,) solid vertices of the head's ``landmarks``.
        on_jaw: (68,) solid vertices of its ``landmarks_on_jaw``.
    """

    matrix: sp.csr_matrix
    offset: Floats
    triangles: Ints
    part: NDArray[np.uint8]
    landmarks: Ints
    on_jaw: Ints

    def vertices(self, head_vertices: np.ndarray) -> Floats:
        """Map head-model vertices to solid vertices.

        Args:
            head_vertices: (V, 3) or (B, V, 3) cm, head frame.

        Returns:
            (N, 3) or (B, N, 3) cm.
        """
        if head_vertices.ndim == 2:
            return np.asarray(self.matrix @ head_vertices, np.float32) + self.offset
        flat = head_vertices.transpose(1, 0, 2).reshape(head_vertices.shape[1], -1)
        out = np.asarray(self.matrix @ flat).reshape(-1, len(head_vertices), 3)
        return out.transpose(1, 0, 2).astype(np.float32) + self.offset


def mirror_vertices(vertices: np.ndarray) -> Ints:
    """Return (N,) the vertex nearest to each one's mirror image; vertices (N, 3), x to a side."""
    index = cKDTree(vertices).query(vertices * np.array([-1, 1, 1], np.float32))[1]
    return np.asarray(index, np.int32)


class _Builder:
    """Build a mesh: rows of the combination matrix, offsets, triangles."""

    def __init__(self, head: HeadModel) -> None:
        self.neutral = head.neutral.astype(np.float64)
        self.rows: list[dict[int, float]] = [{i: 1.0} for i in range(len(head.neutral))]
        self.offsets: list[np.ndarray] = [np.zeros(3)] * len(head.neutral)
        self.positions: list[np.ndarray] = list(self.neutral)
        self.parts: list[int] = head.part.tolist()
        keep = np.isin(head.part[head.triangles], (FACE, HEAD)).all(1)
        self.triangles: list[tuple[int, int, int]] = [
            (int(a), int(b), int(c)) for a, b, c in head.triangles[keep]
        ]

    def combine(
        self, weights: dict[int, float], part: int, offset: np.ndarray | None = None
    ) -> int:
        """Add a vertex as a weighted sum of others; return its index."""
        row: dict[int, float] = {}
        shift = np.zeros(3) if offset is None else offset
        for vertex, weight in weights.items():
            shift = shift + weight * self.offsets[vertex]
            for column, w in self.rows[vertex].items():
                row[column] = row.get(column, 0.0) + weight * w
        self.rows.append(row)
        self.offsets.append(shift)
        self.positions.append(sum(w * self.neutral[c] for c, w in row.items()) + shift)
        self.parts.append(part)
        return len(self.rows) - 1

    def loops(self) -> list[list[int]]:
        """Return the boundary loops, each in the order that outward cap triangles need."""
        edges = {(a, b) for t in self.triangles for a, b in zip(t, (*t[1:], t[0]), strict=True)}
        follow = {b: a for a, b in edges if (b, a) not in edges}
        loops = []
        while follow:
            start, here = next(iter(follow.items()))
            loop = [start]
            del follow[start]
            while here != start:
                loop.append(here)
                here = follow.pop(here)
            loops.append(loop)
        return loops

    def peel(self, loop: list[int], until: set[int]) -> list[int]:
        """Take off rings of triangles along a loop until one of some vertices lies on it.

        Returns:
            the loop that is left.

        Raises:
            ValueError: there is no such vertex around the loop.
        """
        while not until.intersection(loop):
            along = set(loop)
            taken = [t for t in self.triangles if along.intersection(t)]
            self.triangles = [t for t in self.triangles if not along.intersection(t)]
            near = {v for t in taken for v in t}
            loop = next((other for other in self.loops() if near.intersection(other)), [])
            if not loop:
                raise ValueError("no landmark lies around an eye")
        return loop

    def fan(self, loop: list[int], centre: int, rings: int = 1, dome: float = 0.0) -> None:
        """Close a loop towards ``centre`` with concentric rings.

        They are evenly spaced, or along a quarter of an ellipse if the centre lies ``dome`` cm
        below the loop.
        """
        outer, part = loop, self.parts[centre]
        for r in range(1, rings):
            angle = np.pi / 2 * r / rings
            w = 1 - np.cos(angle) if dome else r / rings
            drop = np.array([0, -dome * (np.sin(angle) - w), 0])
            inner = [self.combine({v: 1 - w, centre: w}, part, drop) for v in loop]
            for k, v in enumerate(outer):
                n = (k + 1) % len(loop)
                self.triangles += [(v, outer[n], inner[n]), (v, inner[n], inner[k])]
            outer = inner
        for k, v in enumerate(outer):
            self.triangles.append((v, outer[(k + 1) % len(loop)], centre))

    def mean(self, loop: list[int], part: int, offset: np.ndarray) -> int:
        """Add the mean of a loop plus an offset; return its index."""
        return self.combine({v: 1 / len(loop) for v in loop}, part, offset)

    def clip(self, field: np.ndarray) -> None:
        """Keep what has a positive value of a field over the vertices."""
        cuts: dict[tuple[int, int], int] = {}

        def cut(a: int, b: int) -> int:
            key = (min(a, b), max(a, b))
            if key not in cuts:
                fa, fb = field[key[0]], field[key[1]]
                w = float(np.clip(fa / (fa - fb), 0.02, 0.98))
                cuts[key] = self.combine({key[0]: 1 - w, key[1]: w}, HEAD)
            return cuts[key]

        kept: list[tuple[int, int, int]] = []
        for t in self.triangles:
            inside = [bool(field[v] > 0) for v in t]
            if all(inside):
                kept.append(t)
            elif any(inside):
                lone = sum(inside) == 1
                k = inside.index(lone)
                a, b, c = t[k], t[(k + 1) % 3], t[(k + 2) % 3]
                ab, ac = cut(a, b), cut(a, c)
                kept += [(a, ab, ac)] if lone else [(b, c, ac), (b, ac, ab)]
        self.triangles = kept


def build_solid(head: HeadModel) -> SolidHead:
    """Build the solid head of a head model.

    Raises:
        ValueError: a landmark lies outside the solid head, or none around an eye.
    """
    build = _Builder(head)
    points = head.landmarks_neutral
    chin = points[6:11][points[6:11, 1].argmin()].astype(np.float64)
    eyes = np.flatnonzero(head.part == EYE)
    landmarks = set(head.landmarks.tolist())
    for loop in build.loops():
        centre = np.mean([build.positions[v] for v in loop], 0)
        if centre[1] < chin[1]:
            continue  # the open neck: cut away below
        if centre[1] < points[30, 1]:
            depth = np.array([0, 0, -_MOUTH_DEPTH])
            build.fan(loop, build.mean(loop, MOUTH_SOCKET, depth), 3)
        else:
            side = eyes[np.sign(head.neutral[eyes, 0]) == np.sign(centre[0])]
            front = int(side[head.neutral[side, 2].argmax()])
            build.fan(build.peel(loop, landmarks), build.combine({front: 1.0}, EYE), 3)
    x, y, z = np.array(build.positions).T
    end = chin[1] - _BELOW_CHIN + _BACKWARDS * (z - chin[2]) + _SIDEWAYS * x * x
    build.clip(y - end)
    for loop in build.loops():
        build.fan(loop, build.mean(loop, OTHER, np.array([0, -_DOME, 0])), _END_RINGS, _DOME)

    triangles = np.array(build.triangles)
    used, compact = np.unique(triangles, return_inverse=True)
    order = np.full(len(build.rows), -1)
    order[used] = np.arange(len(used))
    entries = [(order[v], c, w) for v in used for c, w in build.rows[v].items()]
    r, c, w = (np.array(e) for e in zip(*entries, strict=True))
    matrix = sp.csr_matrix((w.astype(np.float32), (r, c)), (len(used), len(head.neutral)))
    placed, on_jaw = order[head.landmarks], order[head.landmarks_on_jaw]
    if min(placed.min(), on_jaw.min()) < 0:
        raise ValueError("a landmark lies outside the solid head")
    offset = np.stack([build.offsets[v] for v in used]).astype(np.float32)
    return SolidHead(
        matrix,
        offset,
        compact.reshape(-1, 3).astype(np.int32),
        np.array(build.parts, np.uint8)[used],
        placed.astype(np.int32),
        on_jaw.astype(np.int32),
    )
