"""Compare the processor time of a collage of 31 faces with that of 31 photos of one face each."""

from __future__ import annotations

import argparse
import io
import statistics
from typing import Final

import psutil
from PIL import Image

from protome.client import Client
from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE
from tests.support.photos import collage

# Widths of the faces, pixels.
WIDTHS: Final = tuple(range(48, 110, 2))
COLUMNS: Final = 7


def cells(photo: bytes) -> list[bytes]:
    """Cut a collage into a photo for each face."""
    picture = Image.open(io.BytesIO(photo))
    side = picture.width // COLUMNS
    found = []
    for index in range(len(WIDTHS)):
        left, top = index % COLUMNS * side, index // COLUMNS * side
        file = io.BytesIO()
        picture.crop((left, top, left + side, top + side)).save(file, "JPEG", quality=92)
        found.append(file.getvalue())
    return found


def seconds(server: EmbeddedServer) -> float:
    """Return the processor time that a server and its workers have taken, seconds."""
    root = psutil.Process(server.process.pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def faces_of(client: Client, photos: list[bytes]) -> int:
    """Send photos one by one; return the number of meshes."""
    return sum(bool(f.mesh) for p in photos for f in client.reconstruct(p, timeout=300).faces)


def main() -> None:
    """Print the ratio of each round and the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    whole = collage(SAMPLE.read_bytes(), WIDTHS, COLUMNS)
    single = cells(whole)
    ratios = []
    with EmbeddedServer(["--log-level", "error"]) as server, Client(server.address) as client:
        for number in range(arguments.rounds + 1):
            taken = []
            for photos in ([whole], single):
                before = seconds(server)
                meshes = faces_of(client, photos)
                taken.append(seconds(server) - before)
                if meshes != len(WIDTHS):
                    raise SystemExit(f"{meshes} of {len(WIDTHS)} faces were answered")
            # The first round warms up.
            if number:
                ratios.append(taken[0] / taken[1])
                print(f"collage {taken[0]:.2f} s, photos {taken[1]:.2f} s, ratio {ratios[-1]:.2f}")
    print(f"median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
