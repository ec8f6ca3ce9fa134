"""What makes a short pretraining transfer? Sources that differ in one thing each, fine-tuned on real images.

    python tests/benchmarks/source_study.py --photographs path/to/val2017/data.yaml --data path/to/bccd  # hours; repeat
    python tests/benchmarks/source_study.py --table                           # what is recorded, as Markdown

Every source is a YOLOv5n that begins with random weights and sees photographs of `photographs.csv` (see pretrain.py)
for 25 epochs at 224 px, far fewer than the packaged one. It is then fine-tuned for 10 epochs at 320 px with nothing
frozen and with ten layers. One row per fine-tuning; rows that the table has are not made again. Sources stay in --work.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # runs from a clone, installed or not

from benchmarks import grid, pretrain  # noqa: E402

from yolo_ft import YOLO, UserError, fit, load_dataset  # noqa: E402
from yolo_ft.api import fit_head  # noqa: E402
from yolo_ft.core.config import TrainConfig  # noqa: E402
from yolo_ft.core.seeding import generator, seed_everything  # noqa: E402
from yolo_ft.core.targets import Target  # noqa: E402
from yolo_ft.data.dataset import Dataset  # noqa: E402
from yolo_ft.data.drawn.sets import drawn_set  # noqa: E402
from yolo_ft.data.files import write_json_atomic, write_text_atomic  # noqa: E402
from yolo_ft.finetune.checkpoints import save_checkpoint  # noqa: E402
from yolo_ft.finetune.hyp import PRESETS  # noqa: E402
from yolo_ft.finetune.runs import SUMMARY, Run  # noqa: E402
from yolo_ft.report.recorded import ABOUT, ROWS  # noqa: E402

RECORDED = grid.RECORDED / "source"
PRETRAINING = {"imgsz": 224, "epochs": 25, "batch": 16, "lr0": 0.002, "warmup_epochs": 1.0, "close_mosaic": 4}
PRETRAINING |= pretrain.SETTINGS
EPOCHS = 10  # of a fine-tuning
MOST = 300  # images of each set beside the photographs
DEPTHS = {"none": {}, "freeze10": {"freeze": 10}}
KEY = ["data", "source", "arm", "seed"]  # what names a row


@dataclass(frozen=True)
class Source:
    """What a pretraining does differently: settings, share of the photographs, most frequent classes, sets beside them.

    Or `like`: no pretraining, but another source whose classes have other names, so that no row of its head is kept.
    """

    settings: dict = field(default_factory=dict)
    share: float = 1.0
    classes: int | None = None
    beside: tuple[str, ...] = ()  # drawn sets, or names of folders that --others gives
    like: str = ""


SOURCES = {
    "as packaged": Source(),
    "half the photographs": Source({"epochs": 50}, share=0.5),  # as many steps
    "twice the epochs": Source({"epochs": 50}),
    "20 classes": Source(classes=20),
    "no augmentation": Source(PRESETS["none"]),
    "light augmentation": Source(PRESETS["light"]),
    "strong augmentation": Source(PRESETS["strong"]),
    "drawn images among them": Source(beside=("cells", "defects")),
    "other sets among them": Source(beside=("mask", "deeppcb")),  # faces and circuit boards
    "the same, other names": Source(like="drawn images among them"),
}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, help="data.yaml of COCO val2017 with 80 classes")
    parser.add_argument("--data", help="folder with a data.yaml: what is fine-tuned on")
    parser.add_argument("--sources", nargs="+", choices=list(SOURCES), default=list(SOURCES), metavar="SOURCE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the fine-tuning")
    parser.add_argument(
        "--others", type=Path, nargs="+", default=[], help="folders of the sets beside, mask and deeppcb"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "source_study", help="sources with their weights")
    parser.add_argument("--out", type=Path, default=RECORDED, help="what is recorded")
    parser.add_argument("--table", action="store_true", help="only print what is recorded")
    return parser.parse_args(arguments)


def chosen(whole: Dataset, source: Source, others: Sequence[Path] = ()) -> Dataset:
    """The part of the photographs that `source` sees, with the classes that it is told, and the sets beside them."""
    order = generator(0, 0, 0, grid.SUBSET_STREAM).permutation(len(whole))[: round(len(whole) * source.share)]
    part = whole.subset(sorted(order))
    if source.classes is not None:
        part = frequent(part, np.argsort(-whole.class_counts().sum(0), kind="stable")[: source.classes])
    return with_others(part, [other(name, others) for name in source.beside]) if source.beside else part


def frequent(part: Dataset, kept: np.ndarray) -> Dataset:
    """The same images with the objects of the classes `kept` alone, which are counted anew."""
    place = np.full(part.num_classes, -1)
    place[kept] = np.arange(len(kept))
    targets = []
    for target in map(part.target, range(len(part))):
        there = target.keep(place[target.labels] >= 0)
        targets.append(Target(there.boxes, place[there.labels]))
    names = {new: part.names[int(old)] for new, old in enumerate(kept)}
    return _dataset(part, names, targets, [part])


def other(name: str, folders: Sequence[Path]) -> Dataset:
    """Up to MOST training images of the drawn set `name`, or of the one of `folders` that is called so."""
    place = next((folder for folder in folders if folder.resolve().name == name), name)
    if place == name and not drawn_set(name):
        raise UserError(f"This source sees {name} too: give its folder with --others.")
    found = load_dataset(place, "train")
    return found.subset(range(min(MOST, len(found))))


def with_others(part: Dataset, sets: Sequence[Dataset]) -> Dataset:
    """The photographs and the images of `sets`, whose classes come after those of the photographs."""
    names, targets = dict(part.names), [part.target(i) for i in range(len(part))]
    for each in sets:
        first = len(names)
        names |= {first + label: name for label, name in each.names.items()}
        targets += [Target(t.boxes, t.labels + first) for t in map(each.target, range(len(each)))]
    return _dataset(part, names, targets, [part, *sets])


def _dataset(like: Dataset, names: dict[int, str], targets: list[Target], parts: list[Dataset]) -> Dataset:
    """The images of `parts`, one after the other, with new targets."""
    each = [(part, i) for part in parts for i in range(len(part))]
    keys = [f"{part.name}/{part.keys[i]}" for part, i in each]
    images = [part.path(i) or part.image(i) for part, i in each]
    return Dataset(like.name, like.split, names, keys, images, [part.size(i) for part, i in each], targets, like.health)


def pretrained(name: str, photographs: Path, others: Sequence[Path], work: Path) -> Path:
    """The weights of the source `name`: made, or found in `work`."""
    if like := SOURCES[name].like:
        return under_other_names(pretrained(like, photographs, others, work), work / "other-names.pt")
    folder = work / name.replace(" ", "-")
    if not (folder / SUMMARY).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        train_set = chosen(load_dataset(photographs, "train"), SOURCES[name], others)
        settings = {**PRETRAINING, **SOURCES[name].settings, "views": 0, "seed": 0, "weights": "yolov5n.yaml"}
        settings |= {"data": train_set.name, "project": str(work), "name": folder.name}
        seed_everything(0)
        model = fit_head(YOLO("yolov5n.yaml", seed=0).model, train_set.names)
        fit(model, train_set, None, TrainConfig.from_dict(settings))
    return Run(folder).weights("last")


def under_other_names(weights: Path, path: Path) -> Path:
    """A copy in `path` whose classes have names that no data set has."""
    model = YOLO(weights).model
    model.names = {label: f"source {name}" for label, name in model.names.items()}
    return save_checkpoint(path, model)


def make(options: argparse.Namespace) -> None:
    """Train what the table lacks, source by source."""
    photographs = pretrain.choose(options.photographs, options.work / "chosen")
    rows = grid.read_rows(options.out)
    there = set(rows[KEY].itertuples(index=False, name=None)) if len(rows) else set()
    data = load_dataset(options.data, "train").name
    for name in options.sources:
        missing = [(arm, seed) for seed in options.seeds for arm in DEPTHS if (data, name, arm, seed) not in there]
        if not missing:
            continue
        weights = str(pretrained(name, photographs, options.others, options.work))
        grid.STUDIES["source"] = {arm: grid.Arm(weights, settings) for arm, settings in DEPTHS.items()}
        for arm, seed in missing:
            row = {"source": name, **grid.train("source", options.data, "all", arm, EPOCHS, seed)}
            rows = pd.concat([rows, pd.DataFrame([row])], ignore_index=True)
            write_text_atomic(options.out / ROWS, rows.to_csv(index=False, lineterminator="\n"))
            print(f"{name}, {arm}, seed {seed}: mAP50 {row['map50']:.3f}", flush=True)


def about() -> dict:
    """What the rows were made with."""
    told = {name: {key: value for key, value in vars(source).items() if value} for name, source in SOURCES.items()}
    command = "python tests/benchmarks/source_study.py --photographs path/to/val2017/data.yaml --data path/to/DATA"
    command += " --others path/to/mask path/to/deeppcb"
    return {"command": command, "pretraining": PRETRAINING, "sources": told, "epochs": EPOCHS, **grid.COMMON}


def table(rows: pd.DataFrame) -> str:
    """Markdown: mean mAP50 over the seeds, one row per data set and source, one column per depth."""
    means = rows.pivot_table("map50", ["data", "source"], "arm")[list(DEPTHS)]
    seeds = rows.groupby(["data", "source"])["seed"].nunique()
    lines = [["data", "source", "seeds", *means.columns], ["---"] * (3 + len(means.columns))]
    for data in dict.fromkeys(rows["data"]):
        for place in ((data, name) for name in SOURCES if (data, name) in means.index):
            lines.append([*place, str(seeds[place]), *(f"{value:.3f}" for value in means.loc[place])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is 0 when everything asked for is recorded."""
    options = parse(arguments)
    try:
        if not options.table:
            if options.photographs is None or options.data is None:
                raise UserError("Give --photographs and --data, each a data.yaml or the folder that holds it.")
            options.out.mkdir(parents=True, exist_ok=True)
            write_json_atomic(options.out / ABOUT, about())
            make(options)
        print(table(grid.read_rows(options.out)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
