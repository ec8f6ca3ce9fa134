"""Make the recorded study of lesson 09: presets, single transforms and pasting, five seeds each, on real images.

    python tests/benchmarks/augment_study.py path/to/data --jobs 2  # two hours on 2 cores; repeat to go on

`path/to/data` holds `bccd`, whose images are all alike, and `mask` and `deeppcb`, most of whose images count as unlike
each other; each with a data.yaml. Four grids (see grid.py) share one table. The presets take about as many steps on
20 images (80 epochs of 2 batches) as on all 205 (12 of 13): a difference between the two sizes is not one of steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # runs from a clone, installed or not

from benchmarks import grid  # noqa: E402

from yolo_ft.data.augmentation.diversity import diversity  # noqa: E402
from yolo_ft.data.dataset import load_dataset  # noqa: E402
from yolo_ft.data.files import write_json_atomic  # noqa: E402
from yolo_ft.finetune.hyp import PRESETS  # noqa: E402
from yolo_ft.report.recorded import ABOUT  # noqa: E402

COMMAND = "python tests/benchmarks/augment_study.py path/to/data"
SINGLE = ("flips", "rotation", "brightness")
GRIDS = (  # data, images, epochs, arms
    ("bccd", "20", "80", (*PRESETS, *SINGLE)),
    ("bccd", "all", "12", tuple(PRESETS)),
    ("mask", "400", "12", (*PRESETS, "paste")),
    ("deeppcb", "all", "12", tuple(PRESETS)),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is 0 when all grids are recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds bccd, mask and deeppcb")
    parser.add_argument("--seeds", nargs="+", default=["0", "1", "2", "3", "4"])
    parser.add_argument("--jobs", default="1", help="runs at once")
    parser.add_argument("--out", default=str(grid.RECORDED / "augment"), help="folder of the study")
    options = parser.parse_args(arguments)
    common = ["--seeds", *options.seeds, "--jobs", options.jobs, "--out", options.out]
    codes = []
    for data, images, epochs, arms in GRIDS:
        what = ["--data", str(options.data / data), "--images", images, "--epochs", epochs, "--arms", *arms]
        codes.append(grid.main(["augment", *what, *common]))
    sets = sorted({data for data, *_ in GRIDS})
    worth = {data: round(diversity(load_dataset(options.data / data)).effective, 1) for data in sets}
    facts = {"command": COMMAND, "effective_images": worth, "rare_objects": rare_objects(options.data / "mask", "400")}
    write_json_atomic(Path(options.out, ABOUT), grid.about("augment") | facts)
    return max(codes)


def rare_objects(data: Path, number: str, seeds: Sequence[int] = range(5)) -> dict:
    """Objects of the rarest class: fewest and most in the training images of a seed, and all in validation."""
    whole, val = grid.images(str(data))
    counts = whole.class_counts().sum(0)
    rarest = int(np.flatnonzero(counts)[counts[counts > 0].argmin()])
    drawn = [grid.training_set(whole, number, seed, grid.Arm()).class_counts().sum(0)[rarest] for seed in seeds]
    return {"train": [int(min(drawn)), int(max(drawn))], "val": int(val.class_counts().sum(0)[rarest])}


if __name__ == "__main__":
    sys.exit(main())
