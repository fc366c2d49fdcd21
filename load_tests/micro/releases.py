"""Compare the stages of two releases: one process of each takes photo after photo, in turns.

``python -m load_tests.micro.releases PYTHON [--module MODULE] [--detail LEVEL] [PHOTO]``, where
PYTHON is the interpreter of an environment with the other release and MODULE its offline bound
(``protome.offline`` in releases without packages). Without a photo the built-in one is used. Times
are the medians of the turns, per photo; the ratio is the median of the ratios of each turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any, Final

from protome.sample import SAMPLE
from protome.workers.handle import WORKER_ENVIRONMENT

BOUND: Final = "protome.bench.bound"
TURNS: Final = 5
SECONDS: Final = 3.0


def times(python: str, module: str, task: dict[str, Any]) -> dict[str, float]:
    """Run one process of a release; return milliseconds of each stage a photo."""
    done = subprocess.run(
        [python, "-m", module, json.dumps(task)],
        input="go\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd="/",
        env=os.environ | WORKER_ENVIRONMENT,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    stages = {k: 1e3 * v / result["photos"] for k, v in result["stages"].items()}
    total = 1e3 * result["cpu_seconds"] / result["photos"]
    return stages | {
        "network and surface": stages["inference"] + stages["surface"],
        "beside the network": total - stages["inference"],
        "processor time": total,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="load_tests.micro.releases", description=__doc__)
    parser.add_argument("python", help="interpreter of the other release")
    parser.add_argument("--module", default=BOUND, help="offline bound of the other release")
    parser.add_argument("--detail", default="STANDARD", choices=["PREVIEW", "STANDARD", "FINE"])
    parser.add_argument("photo", nargs="?", default=str(SAMPLE))
    args = parser.parse_args()
    options = {"max_faces": 1, "detail": args.detail, "appearance": "texture"}
    task = {
        "photos": [os.path.abspath(args.photo)],
        "options": options | {"compressions": ["meshopt"]},
        "seconds": SECONDS,
        "first": 0,
    }
    turns = [
        (times(args.python, args.module, task), times(sys.executable, BOUND, task))
        for _ in range(TURNS)
    ]
    print("| stage | other, ms | this, ms | this / other |\n|---|---|---|---|")
    for stage in turns[0][1]:
        other, this = ([turn[k][stage] for turn in turns] for k in (0, 1))
        ratio = statistics.median(b / a for a, b in zip(other, this, strict=True))
        middles = f"{statistics.median(other):.1f} | {statistics.median(this):.1f}"
        print(f"| {stage} | {middles} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
