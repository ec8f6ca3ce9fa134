"""Make the recorded studies of splits in lesson 06.

    python tests/benchmarks/split_study.py intervals --weights best.pt --data path/to/mask    # minutes
    python tests/benchmarks/split_study.py classes --weights best.pt --data path/to/mask      # minutes
    python tests/benchmarks/split_study.py leakage --data path/to/bccd     # half an hour on 2 cores; repeat to go on

`intervals` (claim D4) and `classes` (D3) need no training: one model's detections on images that it has not seen are
taken again and again as if some of these images were the validation set. `leakage` (D5) films photographs, a moving
window over each, and trains on the frames: with a random split, in which neighbouring frames are on both sides, and
with one that keeps films whole. Both are then measured on photographs that neither has seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # runs from a clone, installed or not

from benchmarks.freeze_study import COMMON, train  # noqa: E402

from yolo_ft import DEFAULT_WEIGHTS, YOLO, UserError, load_dataset  # noqa: E402
from yolo_ft.core.boxes import xyxy_to_cxcywh  # noqa: E402
from yolo_ft.core.seeding import generator  # noqa: E402
from yolo_ft.core.targets import Target  # noqa: E402
from yolo_ft.data.dataset import Dataset, load_splits  # noqa: E402
from yolo_ft.data.files import write_json_atomic, write_text_atomic  # noqa: E402
from yolo_ft.data.splits.partition import partition  # noqa: E402
from yolo_ft.data.splits.split import split  # noqa: E402
from yolo_ft.finetune.evaluation import detect  # noqa: E402
from yolo_ft.finetune.machine import environment, usable_cores  # noqa: E402
from yolo_ft.finetune.metrics import evaluate_detections  # noqa: E402
from yolo_ft.finetune.runs import SUMMARY, Run  # noqa: E402
from yolo_ft.report.recorded import ABOUT  # noqa: E402

RECORDED = ROOT / "yolo_ft" / "report" / "recorded"
ROWS, ALL = "rows.csv", "(all)"
SHARES = (0.1, 0.2)
SETS = (100, 300, 1000, 3000)  # images in all, of which a tenth or a fifth validates
LOWEST = 0.01  # scores below it move no mAP50 by a thousandth, and would take most of the time
ARMS = {"random": None, "grouped": "names"}
WINDOW, LIGHT, VISIBLE = 0.8, 0.1, 0.4  # of the side, of the brightness, of a box that is kept


def measured(options: argparse.Namespace) -> tuple[Dataset, Callable[[np.ndarray], pd.Series]]:
    """The pool of images, and a function from chosen indices to AP50 of every class and of "(all)"."""
    pool = load_dataset(options.data, options.pool)
    truths = [pool.target(i) for i in range(len(pool))]
    found = [each.above(LOWEST) for each in detect(YOLO(options.weights).model, pool, COMMON["imgsz"])]

    def measure(chosen: np.ndarray) -> pd.Series:
        metrics = evaluate_detections([truths[i] for i in chosen], [found[i] for i in chosen], pool.names)
        return pd.concat([metrics.per_class["ap50"], pd.Series({ALL: metrics.map50})])

    return pool, measure


def intervals(options: argparse.Namespace) -> pd.DataFrame:
    """D4: the interval that holds 95 % of the mAP50 of validation sets of one size, drawn with replacement."""
    pool, measure = measured(options)
    rows = []
    for total, share in product(SETS, SHARES):
        images = round(total * share)
        draws = [generator(repeat, images).integers(len(pool), size=images) for repeat in range(options.repeats)]
        values = np.array([measure(chosen)[ALL] for chosen in draws])
        low, high = np.nanquantile(values, [0.025, 0.975])
        rows.append((total, share, images, np.nanmean(values), low, high, high - low))
    return pd.DataFrame(rows, columns=["images", "share", "val_images", "map50", "low", "high", "width"])


def classes(options: argparse.Namespace) -> pd.DataFrame:
    """D3: how far every class's share of the boxes, and its AP50, vary over splits of one kind."""
    pool, measure = measured(options)
    counts, rows = pool.class_counts(), []
    for kind, shown in (("random", counts[:, :0]), ("stratified", counts)):
        held = [np.flatnonzero(partition(shown, (0.8, 0.2), seed) == 1) for seed in range(options.repeats)]
        table = pd.DataFrame([measure(chosen) for chosen in held])
        shares = np.array([counts[chosen].sum(0) / np.maximum(counts.sum(0), 1) for chosen in held])
        columns = [
            *(table.columns, [*counts.sum(0), counts.sum()], [*shares.std(0, ddof=1), np.nan]),
            *(table.mean(), table.std(ddof=1), table.notna().sum()),
        ]
        rows += [(kind, *row) for row in zip(*columns, strict=True)]
    return pd.DataFrame(rows, columns=["split", "class", "boxes", "share_sd", "ap50", "ap50_sd", "splits"])


def film(image: np.ndarray, target: Target, frames: int, rng: np.random.Generator) -> list[tuple[np.ndarray, Target]]:
    """Frames of a camera that moves over a photograph: a window on a straight way, each a little lighter or darker."""
    size = np.array(image.shape[1::-1])
    window = np.round(size * WINDOW).astype(int)
    start, end = rng.random((2, 2)) * (size - window)
    shots = []
    for position in np.linspace(start, end, frames) if frames > 1 else [start]:
        x, y = np.round(position).astype(int)
        pixels = image[y : y + window[1], x : x + window[0]] * (1 + LIGHT * (rng.random() - 0.5))
        boxes = np.clip(target.boxes - np.tile([x, y], 2), 0, np.tile(window, 2))
        area, whole = ((b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, target.boxes))
        shots.append(
            (np.clip(pixels, 0, 255).astype(np.uint8), Target(boxes, target.labels).keep(area > VISIBLE * whole))
        )
    return shots


def make_films(data: str, folder: Path, videos: int, frames: int, seed: int = 0) -> None:
    """Write `videos` films of training images, and one frame of every other image as a test that stays untouched."""
    parts = load_splits(data)
    if len(parts) < 2:
        raise UserError(f"{data} has one split: the test needs images of val or test.")
    rng = generator(seed, videos, frames)
    chosen = rng.permutation(len(parts["train"]))[:videos]
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for name, dataset in parts.items():
        for number, index in enumerate(chosen if name == "train" else range(len(dataset))):
            shots = film(dataset.image(index), dataset.target(index), frames if name == "train" else 1, rng)
            for shot, (pixels, target) in enumerate(shots):
                stem = f"clip{number:03d}_{shot:02d}" if name == "train" else f"{name}{number:03d}"
                lists["train" if name == "train" else "test"].append(f"./images/{stem}.jpg")
                _save(folder, stem, pixels, target)
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    text = f"train: train.txt\ntest: test.txt\nnames: {json.dumps(list(parts['train'].names.values()))}\n"
    (folder / "data.yaml").write_text(text, encoding="utf-8", newline="\n")


def _save(folder: Path, stem: str, pixels: np.ndarray, target: Target) -> None:
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / "images" / f"{stem}.jpg", quality=90)
    rows = xyxy_to_cxcywh(target.boxes) / np.tile(pixels.shape[1::-1], 2)
    lines = [f"{label} {' '.join(f'{v:.6f}' for v in row)}" for label, row in zip(target.labels, rows, strict=True)]
    (folder / "labels" / f"{stem}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def next_step(work: Path, name: str, seed: int, epochs: int) -> list[str] | None:
    """The `yolo-ft` command that is left to do for a run: all of it, a resume, or None when it is finished."""
    folder = work / "runs" / name
    common = [text for key, value in COMMON.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    command = ["train", "--data", name, "--epochs", str(epochs), *common, "--seed", str(seed)]
    command += ["--project", "runs", "--name", name]
    if not (folder / "weights" / "last.pt").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # stopped before its first epoch ended
        return command
    if Run(folder).config["epochs"] != epochs:
        raise UserError(f"{folder} was made with other settings: remove it, or choose another --work folder.")
    return None if (folder / SUMMARY).is_file() else ["train", "--resume", f"runs/{name}"]


def leakage(options: argparse.Namespace) -> pd.DataFrame:
    """D5: every arm and seed trained, then measured on its own validation images and on the untouched test images."""
    work = options.work.resolve()
    (work / "runs").mkdir(parents=True, exist_ok=True)
    if not (work / "films" / "data.yaml").is_file():
        make_films(options.data, work / "films", options.videos, options.frames)
    rows = []
    for seed in options.seeds:
        for arm, groups in ARMS.items():
            name = f"{arm}-seed{seed}"
            if not (work / name / "data.yaml").is_file():
                split(work / "films", val=0.2, groups=groups, stratify=False, seed=seed).write(work / name)
            step = next_step(work, name, seed, options.epochs)
            if step is not None and not train(work, step, name, usable_cores()):
                raise UserError(f"{name} failed: see {work / name}.log.")
            model = YOLO(work / "runs" / name / "weights" / "best.pt")
            val, test = (model.val(work / name, part, COMMON["imgsz"]) for part in ("val", "test"))
            rows.append((arm, seed, val.map50, test.map50, val.map50_95, test.map50_95))
    return pd.DataFrame(rows, columns=["split", "seed", "val_map50", "test_map50", "val_map50_95", "test_map50_95"])


def origin(options: argparse.Namespace, dataset: Dataset) -> dict:
    """What the table was made with; nothing names a place of this machine."""
    said = {key: value for key, value in vars(options).items() if isinstance(value, int | list)}
    return {
        "command": f"python tests/benchmarks/split_study.py {options.study} --data path/to/{dataset.name}",
        "settings": {**COMMON, "pool": options.pool, **said},
        "weights_sha256": hashlib.sha256(Path(options.weights).read_bytes()).hexdigest(),
        "environment": environment(data_digest=dataset.digest),
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    studies = parser.add_subparsers(dest="study", required=True)
    for run in (intervals, classes):
        drawn = studies.add_parser(run.__name__)
        drawn.set_defaults(run=run)
        drawn.add_argument("--weights", required=True, help="a checkpoint that was not trained on the images of --pool")
        drawn.add_argument("--pool", default="val", help="the split that is drawn from (default: val)")
        drawn.add_argument("--repeats", type=int, default=200)
    filmed = studies.add_parser("leakage")
    filmed.set_defaults(run=leakage, pool="train", weights=DEFAULT_WEIGHTS)
    filmed.add_argument("--videos", type=int, default=60)
    filmed.add_argument("--frames", type=int, default=5)
    filmed.add_argument("--epochs", type=int, default=25)
    filmed.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    filmed.add_argument("--work", type=Path, default=ROOT / "runs" / "split_study", help="films and runs")
    for study in studies.choices.values():
        study.add_argument("--data", required=True, help="folder with a data.yaml")
        study.add_argument("--out", type=Path, help="what is recorded (default: inside the package)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is 0 when everything is recorded."""
    options = parse(arguments)
    out = options.out or RECORDED / f"split_{options.study}"
    try:
        table = options.run(options)
        out.mkdir(parents=True, exist_ok=True)
        write_text_atomic(out / ROWS, table.round(5).to_csv(index=False, lineterminator="\n"))
        write_json_atomic(out / ABOUT, origin(options, load_dataset(options.data, options.pool)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(table.to_string(index=False, float_format="{:.4f}".format))
    return 0


if __name__ == "__main__":
    sys.exit(main())
