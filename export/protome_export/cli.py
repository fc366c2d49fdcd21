"""protome-export: the model factory's commands."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import commands
from .heads.groups import GROUPS


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--head", default="tiny", help='packed .npz, checkout folder or "tiny"')
    parser.add_argument("--data", type=Path, help="folder with skins_ict_uv and environments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where to render: cpu, cuda")
    parser.add_argument("--group", choices=GROUPS, help="people of this group only")
    parser.add_argument("--covered", action="store_true", help="cover two of three faces")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="protome-export", description=__doc__)
    added = parser.add_subparsers(required=True)

    p = added.add_parser("pack-facekit", help="an ICT-FaceKit checkout to one .npz")
    p.add_argument("checkout", type=Path)
    p.add_argument("out", type=Path)
    p.set_defaults(command=commands.pack)

    p = added.add_parser("add-people", help="add ages, origins and features of MakeHuman")
    p.add_argument("head", help="packed .npz or checkout folder of ICT-FaceKit")
    p.add_argument("out", type=Path, help=".npz to write")
    p.set_defaults(command=commands.add_people)

    p = added.add_parser("generate", help="write shards of synthetic samples")
    _add_source(p)
    p.add_argument("--count", type=int, required=True)
    p.add_argument("--shard", type=int, default=512)
    p.add_argument("out", type=Path)
    p.set_defaults(command=commands.generate)

    p = added.add_parser("fetch-pretrained", help="download the pretrained trunks, checked")
    p.add_argument("folder", type=Path, help="where to write facemesh.npz and selfie.npz")
    p.set_defaults(command=commands.fetch_pretrained)

    p = added.add_parser("preview", help="contact sheet of synthetic samples")
    _add_source(p)
    p.add_argument("--count", type=int, default=48)
    p.add_argument("out", type=Path)
    p.set_defaults(command=commands.preview)

    p = added.add_parser("train", help="train, or resume, the run of a config")
    p.add_argument("config", type=Path)
    p.set_defaults(command=commands.train)

    p = added.add_parser("train-finder", help="train the finder of a config")
    p.add_argument("config", type=Path)
    p.add_argument("--space", type=Path, required=True, help="space.npz of the reader")
    p.set_defaults(command=commands.train_finder)

    p = added.add_parser("train-hair", help="train the hair network of a config")
    p.add_argument("config", type=Path)
    p.add_argument("--space", type=Path, required=True, help="space.npz of the reader")
    p.set_defaults(command=commands.train_hair)

    p = added.add_parser("train-covered", help="train the cover network of a config")
    p.add_argument("config", type=Path)
    p.add_argument("--space", type=Path, required=True, help="space.npz of the reader")
    p.set_defaults(command=commands.train_covered)

    p = added.add_parser("evaluate", help="score an exported model")
    p.add_argument("model", type=Path, help="folder with model.onnx and model.json")
    p.add_argument("--space", type=Path, required=True, help="space.npz of the run")
    p.add_argument("--photos", type=Path, help="folder of pictures")
    p.add_argument("--landmarks", type=Path, help=".npz with names, points, yaw_degrees")
    p.add_argument("--second", type=Path, help=".npz with another annotation: names, points")
    p.add_argument("--masks", type=Path, help=".npz with masks of the persons")
    p.add_argument("--head", default="tiny")
    p.add_argument("--holdout", type=Path, help="folder of synthetic shards not trained on")
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--calibrate", type=int, default=512, help="hold-out samples for confidence")
    p.add_argument(
        "--new-views", type=int, default=0, help="heads drawn from views beside the photo"
    )
    p.add_argument("--other", help="address of another release's server, for --new-views")
    p.add_argument("--data", type=Path, help="folder with skins_ict_uv and environments")
    p.add_argument("--no-sheets", action="store_true", help="no pictures of people written")
    p.add_argument("out", type=Path)
    p.set_defaults(command=commands.evaluate)

    p = added.add_parser("evaluate-covers", help="covered faces: drawn on photos, and not")
    p.add_argument("model", type=Path, help="folder with model.onnx and model.json")
    p.add_argument("photos", type=Path, nargs="+", help="folders of pictures")
    p.set_defaults(command=commands.evaluate_covers)

    p = added.add_parser("show", help="contact sheet of a model on a folder of pictures")
    p.add_argument("model", type=Path, help="folder with model.onnx and model.json")
    p.add_argument("photos", type=Path)
    p.add_argument("out", type=Path)
    p.set_defaults(command=commands.show)

    p = added.add_parser("export", help="averaged weights of runs to ONNX, behind the gate")
    p.add_argument("reader", type=Path, help="run of the network that sees the upright window")
    p.add_argument("finder", type=Path, help="run of the network that finds the window")
    p.add_argument("--pretrained", type=Path, help="folder that fetch-pretrained wrote")
    p.add_argument("--hair", type=Path, help="run of the hair network")
    p.add_argument("--cover", type=Path, help="run of the cover network")
    p.add_argument("--calibration", type=Path, help="calibration.json, instead of measuring it")
    p.add_argument("--head", help="overrides the head in the run's settings")
    p.add_argument("--data", type=Path, help="folder with skins_ict_uv, for the head's regions")
    p.add_argument("--crops", type=Path, help="shards to calibrate on; default: hold-out")
    p.add_argument("--count", type=int, default=32)
    p.add_argument("--pictures", type=Path, help="folder whose faces join the gate's crops")
    p.add_argument("--name", default="protome-guided")
    p.add_argument("--version", default="1.0.0")
    p.add_argument("--evaluation", type=Path, help="report.json to put into model.json")
    p.add_argument("out", type=Path)
    p.set_defaults(command=commands.export)
    return parser


def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    args.command(args)


if __name__ == "__main__":
    main()
