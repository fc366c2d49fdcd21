"""protome-export: the model factory's commands."""

from __future__ import annotations

import argparse
import time
from pathlib import Path


def _generate(args: argparse.Namespace) -> None:
    import cv2
    import torch

    from .shards import write_shard
    from .synth import Synthesizer

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    synthesizer = Synthesizer.load(args.head, args.data)
    done, began = 0, time.time()
    while done < args.count and not (args.out / "STOP").exists():
        n = min(args.shard, args.count - done)
        write_shard(synthesizer, args.out, args.seed + done, n)
        done += n
        print(f"{done} samples, {done / (time.time() - began):.1f}/s", flush=True)


def _preview(args: argparse.Namespace) -> None:
    from .preview import contact_sheet
    from .synth import Synthesizer

    contact_sheet(Synthesizer.load(args.head, args.data), args.seed, args.count, args.out)


def _pack(args: argparse.Namespace) -> None:
    from .headmodel import pack_head, read_checkout

    pack_head(read_checkout(args.checkout), args.out)


def _train(args: argparse.Namespace) -> None:
    from .config import load_config
    from .train import Trainer

    Trainer(load_config(args.config)).run()


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--head", default="tiny", help='packed .npz, checkout folder or "tiny"')
    parser.add_argument("--data", type=Path, help="folder with skins_ict_uv and environments")
    parser.add_argument("--seed", type=int, default=0)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="protome-export", description=__doc__)
    commands = parser.add_subparsers(required=True)

    p = commands.add_parser("pack-facekit", help="an ICT-FaceKit checkout to one .npz")
    p.add_argument("checkout", type=Path)
    p.add_argument("out", type=Path)
    p.set_defaults(run=_pack)

    p = commands.add_parser("generate", help="write shards of synthetic samples")
    _add_source(p)
    p.add_argument("--count", type=int, required=True)
    p.add_argument("--shard", type=int, default=512)
    p.add_argument("out", type=Path)
    p.set_defaults(run=_generate)

    p = commands.add_parser("preview", help="contact sheet of synthetic samples")
    _add_source(p)
    p.add_argument("--count", type=int, default=48)
    p.add_argument("out", type=Path)
    p.set_defaults(run=_preview)

    p = commands.add_parser("train", help="train, or resume, the run of a config")
    p.add_argument("config", type=Path)
    p.set_defaults(run=_train)
    return parser


def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    args.run(args)


if __name__ == "__main__":
    main()
