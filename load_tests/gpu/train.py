"""Part 4: training on the GPU: samples per second of a step, then the run for what time is left."""

from __future__ import annotations

import csv
import dataclasses
import sys
from pathlib import Path

from protome_export.training.config import Config
from protome_export.training.pretrained.facemesh import FACEMESH
from protome_export.training.pretrained.tflite import fetch
from protome_export.training.reader.trainer import Trainer

from .common import Results, arguments


def main() -> int:
    args = arguments(__doc__)
    results = Results(args.out / "train.json")
    head = str(args.data / "ict_facekit.npz") if args.data else "tiny"
    facemesh = (args.data or args.out) / "facemesh.npz"
    if not facemesh.exists():
        fetch(FACEMESH, facemesh)
    config = Config(
        head=head,
        data=str(args.data or ""),
        shards=str(args.out / "shards"),
        holdout=str(args.out / "holdout"),
        out=str(args.out / "run"),
        renderers=1 if args.dry else 12,
        fresh=32 if args.dry else 100_000,
        shard=16 if args.dry else 128,
        batch=4 if args.dry else 256,
        steps=4 if args.dry else 1_000_000,
        minutes=3.0,
        amp=not args.dry,
        facemesh=str(facemesh),
        facemesh_rate=0.0,
        save_every=4 if args.dry else 500,
    )
    if args.dry:
        config = dataclasses.replace(config, modes=8, space_heads=16)
    with results.step("training"):
        Trainer(config).run()
        with (Path(config.out) / "log.csv").open() as log:
            rows = list(csv.DictReader(log))
        results.add("training", rows[-1] if rows else {})
        results.add("checkpoint", (Path(config.out) / "checkpoint.pt").stat().st_size)
    return results.failed


if __name__ == "__main__":
    sys.exit(main())
