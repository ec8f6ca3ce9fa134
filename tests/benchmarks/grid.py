"""Grids of small trainings on real images: one row of a table per run, nothing else is kept.

    python tests/benchmarks/grid.py transfer --data path/to/bccd --jobs 2  # hours; repeat to go on
    python tests/benchmarks/grid.py transfer --data path/to/mask --epochs 10 25 --images all --seeds 0 1 2
    python tests/benchmarks/grid.py labels --data path/to/bccd --epochs 25 --images all
    python tests/benchmarks/grid.py transfer --table                          # what is recorded, as Markdown

Every run is what `yolo-ft train` does with these settings, validated once, after its last epoch. Rows that the table
has already are not made again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # runs from a clone, installed or not

from yolo_ft import DEFAULT_WEIGHTS, YOLO, UserError, fit, load_checkpoint, load_dataset  # noqa: E402
from yolo_ft.api import fit_head  # noqa: E402
from yolo_ft.core.config import TrainConfig  # noqa: E402
from yolo_ft.core.cores import usable_cores  # noqa: E402
from yolo_ft.core.seeding import generator, seed_everything  # noqa: E402
from yolo_ft.core.targets import Target  # noqa: E402
from yolo_ft.data.dataset import Dataset  # noqa: E402
from yolo_ft.data.files import write_json_atomic, write_text_atomic  # noqa: E402
from yolo_ft.finetune.evaluation import evaluate  # noqa: E402
from yolo_ft.finetune.hyp import PRESETS  # noqa: E402
from yolo_ft.finetune.runs import Run  # noqa: E402
from yolo_ft.models.detector import Detector  # noqa: E402
from yolo_ft.report.recorded import ABOUT, ROWS  # noqa: E402

RECORDED = ROOT / "yolo_ft" / "report" / "recorded"
SUBSET_STREAM, DAMAGE_STREAM = 11, 12  # fourth words of generator keys
COMMON = {"imgsz": 320, "batch": 16, "views": 0}  # fresh augmentation everywhere: a freeze is compared, not a cache


@dataclass(frozen=True)
class Arm:
    """What a run does differently: the weights it begins with, its settings, and what is done to its labels."""

    weights: str | None = None
    settings: dict = field(default_factory=dict)
    labels: Callable[[Target, np.random.Generator, tuple[int, int], int], Target] | None = None


def missing(share: float) -> Callable:
    """Labels of which `share` was forgotten."""
    return lambda target, rng, size, classes: target.keep(rng.random(len(target)) >= share)


def sloppy(amount: float) -> Callable:
    """Labels whose four sides are each off by a normal error of `amount` times the box's width or height."""

    def damage(target: Target, rng: np.random.Generator, size: tuple[int, int], classes: int) -> Target:
        sides = np.tile(target.boxes[:, 2:] - target.boxes[:, :2], 2)
        boxes = target.boxes + amount * sides * rng.standard_normal(target.boxes.shape)
        boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
        return Target(np.clip(boxes, 0, [size[1], size[0]] * 2), target.labels)

    return damage


def confused(share: float) -> Callable:
    """Labels of which `share` names a class drawn at random."""

    def damage(target: Target, rng: np.random.Generator, size: tuple[int, int], classes: int) -> Target:
        wrong = rng.random(len(target)) < share
        return Target(target.boxes, np.where(wrong, rng.integers(classes, size=len(target)), target.labels))

    return damage


def augmented(**settings: float) -> Arm:
    """An arm of lesson 09: these augmentation settings, and natural images in the last two epochs of any budget."""
    return Arm(settings={**settings, "close_mosaic": 2})


STUDIES = {
    # the arms of lesson 05; random-prefix keeps its statistics running, see freeze_study.py
    "transfer": {
        "none": Arm(),
        "freeze10": Arm(settings={"freeze": 10}),
        "freeze24": Arm(settings={"freeze": 24}),
        "scratch": Arm("yolov5n.yaml"),
        "random-prefix": Arm("yolov5n.yaml", {"freeze": 10, "freeze_bn": "running"}),
    },
    # lesson 06: what bad labels cost
    "labels": {
        "clean": Arm(),
        "missing 10%": Arm(labels=missing(0.1)),
        "missing 30%": Arm(labels=missing(0.3)),
        "sloppy 10%": Arm(labels=sloppy(0.1)),
        "sloppy 20%": Arm(labels=sloppy(0.2)),
        "confused 10%": Arm(labels=confused(0.1)),
        "confused 30%": Arm(labels=confused(0.3)),
    },
    # lesson 09: presets, single transforms on top of none, and pasting on top of the default; see augment_study.py
    "augment": {
        **{name: augmented(**settings) for name, settings in PRESETS.items()},
        "flips": augmented(**PRESETS["none"] | {"fliplr": 0.5, "flipud": 0.5}),
        "rotation": augmented(**PRESETS["none"] | {"degrees": 15.0}),
        "brightness": augmented(**PRESETS["none"] | {"hsv_v": 0.4}),
        "paste": augmented(**PRESETS["default"] | {"copy_paste": 0.5}),
    },
}
KEY = ["data", "images", "arm", "epochs", "seed"]  # what names a row


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--data", help="folder with a data.yaml, or a drawn set")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="default: all of the study")
    parser.add_argument("--images", nargs="+", default=["20", "50", "all"], help="training images, drawn by the seed")
    parser.add_argument("--epochs", type=int, nargs="+", default=[5, 10, 25, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; each gets its share of the cores")
    parser.add_argument("--out", type=Path, help="folder of the study (default: inside the package)")
    parser.add_argument("--table", action="store_true", help="only print what is recorded")
    return parser.parse_args(arguments)


@functools.lru_cache
def images(data: str) -> tuple[Dataset, Dataset]:
    """Training and validation set, once per process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the health of these sets is known
        return load_dataset(data, "train"), load_dataset(data, "val")


def training_set(whole: Dataset, number: str, seed: int, arm: Arm) -> Dataset:
    """`number` images drawn by `seed`, smaller sets inside larger ones, with the arm's labels."""
    count = len(whole) if number == "all" else int(number)
    if count > len(whole):
        raise UserError(f"{whole.name} has {len(whole)} training images, not {count}: give fewer, or all.")
    order = generator(seed, 0, 0, SUBSET_STREAM).permutation(len(whole)) if number != "all" else range(len(whole))
    chosen = whole.subset(order[:count])
    if arm.labels is None:
        return chosen
    targets = [
        arm.labels(chosen.target(i), generator(seed, 0, i, DAMAGE_STREAM), chosen.size(i), chosen.num_classes)
        for i in range(len(chosen))
    ]
    parts = [[chosen.path(i) for i in range(len(chosen))], [chosen.size(i) for i in range(len(chosen))]]
    return Dataset(chosen.name, chosen.split, chosen.names, chosen.keys, *parts, targets, chosen.health)


def train(study: str, data: str, number: str, name: str, epochs: int, seed: int) -> dict:
    """One run in a folder that is thrown away; returns its row."""
    whole, val_set = images(data)
    arm = STUDIES[study][name]
    train_set = training_set(whole, number, seed, arm)
    with tempfile.TemporaryDirectory() as folder:
        settings = {**COMMON, **arm.settings, "epochs": epochs, "val_every": epochs, "seed": seed, "project": folder}
        config = TrainConfig.from_dict({**settings, "weights": arm.weights or "packaged", "data": whole.name})
        model = YOLO(arm.weights, seed=seed).model
        seed_everything(seed)
        model = fit_head(model, train_set.names)
        run = fit(model, train_set, val_set, config)
        summary, more = run.summary, memory(model, train_set, run, whole) if study == "augment" else {}
    final = summary["final"]
    row = dict(zip(KEY, (whole.name, len(train_set), name, epochs, seed), strict=True))
    row |= {metric: round(final[metric], 5) for metric in ("map50", "map50_95", "precision", "recall")}
    return row | more | {"train_seconds": round(summary["train_seconds"], 1)}


def memory(model: Detector, train_set: Dataset, run: Run, whole: Dataset) -> dict:
    """What tells learning from memorising, and the class that `whole` has least of: further columns of a row.

    `seen_map50_95`: mAP on the training images as they are; `loss`: of the last epoch; `rare`: that class and its AP.
    """
    counts = whole.class_counts().sum(0)
    rare = whole.names[int(np.argmin(np.where(counts, counts, counts.sum() + 1)))]
    found = run.summary["final"]["per_class"].get(rare, {"ap50": np.nan, "ap50_95": np.nan})
    seen = evaluate(model, train_set, imgsz=COMMON["imgsz"]).map50_95
    row = {"loss": run.history["loss"].iloc[-1], "seen_map50_95": seen, "rare": rare}
    row |= {f"rare_{name}": value for name, value in found.items()}
    return {name: value if isinstance(value, str) else round(float(value), 5) for name, value in row.items()}


def make(options: argparse.Namespace, out: Path) -> bool:
    """Train what the table lacks, seed by seed and cheap runs first; True when all is there."""
    whole = images(options.data)[0]
    counts = {number: len(whole) if number == "all" else int(number) for number in options.images}
    arms = options.arms or list(STUDIES[options.study])
    if unknown := [arm for arm in arms if arm not in STUDIES[options.study]]:
        raise UserError(f"There is no arm {unknown[0]!r}; there are {', '.join(STUDIES[options.study])}.")
    table = read_rows(out)
    there = set(table[KEY].itertuples(index=False, name=None))
    wanted = [
        (number, arm, epochs, seed)
        for seed, epochs, number, arm in product(options.seeds, sorted(options.epochs), options.images, arms)
        if (whole.name, counts[number], arm, epochs, seed) not in there
    ]
    print(f"{len(wanted)} runs to train", flush=True)
    os.environ["OMP_NUM_THREADS"] = str(max(1, usable_cores() // options.jobs))
    done = 0
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(train, options.study, options.data, *cell): cell for cell in wanted}
        for future in as_completed(futures):
            if error := future.exception():
                print(f"FAILED {futures[future]}: {error}", flush=True)
                continue
            table = pd.concat([table, pd.DataFrame([future.result()])], ignore_index=True)
            write_text_atomic(out / ROWS, table.sort_values(KEY).to_csv(index=False, lineterminator="\n"))
            done += 1
            print(f"{done}/{len(wanted)} {futures[future]} mAP50 {future.result()['map50']:.3f}", flush=True)
    return done == len(wanted)


def read_rows(out: Path) -> pd.DataFrame:
    """The table of a study folder; empty where there is none yet."""
    return pd.read_csv(out / ROWS) if (out / ROWS).is_file() else pd.DataFrame(columns=KEY)


def about(study: str) -> dict:
    """What the rows were made with."""
    return {
        "command": f"python tests/benchmarks/grid.py {study} --data path/to/DATA",
        "settings": COMMON,
        "arms": {name: {"weights": arm.weights or "packaged", **arm.settings} for name, arm in STUDIES[study].items()},
        "weights": load_checkpoint(DEFAULT_WEIGHTS).metadata,
        "weights_sha256": hashlib.sha256(DEFAULT_WEIGHTS.read_bytes()).hexdigest(),
    }


def table(rows: pd.DataFrame, arms: list[str]) -> str:
    """Markdown: mean mAP50 over the seeds, one row per set, number of images and epochs, one column per arm."""
    grid = rows.pivot_table("map50", ["data", "images", "epochs"], "arm").reindex(columns=arms)
    seeds = rows.groupby(["data", "images", "epochs"])["seed"].nunique()
    lines = [["data", "images", "epochs", "seeds", *grid.columns], ["---"] * (4 + len(grid.columns))]
    for place, row in grid.sort_index().iterrows():
        lines.append([*map(str, place), str(seeds[place]), *(f"{value:.3f}" for value in row)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is 0 when everything asked for is recorded."""
    options = parse(arguments)
    out = options.out or RECORDED / options.study
    complete = True
    try:
        if not options.table:
            if options.data is None:
                raise UserError("Give --data, a folder that holds a data.yaml (or a drawn set), or --table.")
            out.mkdir(parents=True, exist_ok=True)
            write_json_atomic(out / ABOUT, about(options.study))
            complete = make(options, out)
        print(table(read_rows(out), list(STUDIES[options.study])))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
