"""Make a packaged checkpoint: train in stages on COCO photographs, halve the numbers, write the model card.

    python tests/benchmarks/pretrain.py yolov5n --data path/to/val2017/data.yaml     # hours; repeat to go on
    python tests/benchmarks/pretrain.py yolo26n --data path/to/val2017/data.yaml

The data is COCO val2017 with its 80 classes as a YOLO folder; of it, the photographs listed in `photographs.csv` are
used. Every stage is one `yolo-ft train` that begins with the weights of the one before it, and is resumed when it was
interrupted. Lesson 05 asks what such a source is worth.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # runs from a clone, installed or not

from yolo_ft import YOLO, UserError  # noqa: E402
from yolo_ft.data.formats.yolo import read_spec, split_images  # noqa: E402
from yolo_ft.finetune.checkpoints import save_checkpoint  # noqa: E402
from yolo_ft.finetune.metrics import Metrics  # noqa: E402
from yolo_ft.finetune.runs import Run  # noqa: E402

PHOTOGRAPHS = Path(__file__).with_name("photographs.csv")
WEIGHTS = ROOT / "yolo_ft" / "weights"
IMGSZ = 320  # of the last stage, and of the card's numbers
SETTINGS = {"weight_decay": 0.05, "ema_decay": 0.999, "ema_ramp": 2000.0, "bn_momentum": 0.03}  # of every stage


@dataclass(frozen=True)
class Stage:
    """What one stage does differently: image size, length, rate, and its last epochs without mosaic."""

    imgsz: int
    epochs: int
    lr0: float
    warmup_epochs: float
    close_mosaic: int
    val_every: int


# From random weights, long on small images, which cost little, and last at the size of the lessons. An image costs
# YOLO26n twice what it costs YOLOv5n, so its photographs are smaller and its epochs fewer (160, not 185).
STAGES = {
    "yolov5n": (
        Stage(imgsz=320, epochs=45, lr0=0.002, warmup_epochs=2.0, close_mosaic=6, val_every=15),
        Stage(imgsz=256, epochs=110, lr0=0.002, warmup_epochs=1.0, close_mosaic=4, val_every=22),
        Stage(imgsz=IMGSZ, epochs=30, lr0=0.001, warmup_epochs=1.0, close_mosaic=6, val_every=10),
    ),
    "yolo26n": (
        Stage(imgsz=224, epochs=60, lr0=0.002, warmup_epochs=2.0, close_mosaic=4, val_every=20),
        Stage(imgsz=IMGSZ, epochs=20, lr0=0.001, warmup_epochs=1.0, close_mosaic=5, val_every=20),
        Stage(imgsz=224, epochs=60, lr0=0.002, warmup_epochs=1.0, close_mosaic=4, val_every=20),
        Stage(imgsz=IMGSZ, epochs=20, lr0=0.001, warmup_epochs=1.0, close_mosaic=5, val_every=20),
    ),
}


def command(stage: int, model: str, data: str, project: str) -> list[str]:
    """The `yolo-ft train` of stage 0, 1, …, as a shell would have it."""
    how = STAGES[model][stage]
    weights = f"{model}.yaml" if stage == 0 else f"{project}/{model}-stage{stage}/weights/last.pt"
    settings = {**SETTINGS, "warmup_epochs": how.warmup_epochs, "close_mosaic": how.close_mosaic}
    return [
        *("yolo-ft", "train", "--data", data, "--weights", weights),
        *("--epochs", str(how.epochs), "--imgsz", str(how.imgsz), "--batch", "16", "--lr0", str(how.lr0)),
        *("--val-every", str(how.val_every), "--seed", "0"),
        *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
        *("--project", project, "--name", f"{model}-stage{stage + 1}"),
    ]


def choose(data: Path, folder: Path) -> Path:
    """A data.yaml in `folder` that lists the photographs of `photographs.csv`; UserError when some are missing."""
    spec = read_spec(data)
    found = {path.stem: path.resolve() for split in spec.splits for path in split_images(spec, split)[0]}
    wanted = pd.read_csv(PHOTOGRAPHS, dtype={"id": str})
    if missing := [name for name in wanted["id"] if name not in found]:
        raise UserError(f"{data} lacks {len(missing)} of the photographs, such as {missing[0]}.jpg: add COCO val2017.")
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in wanted.groupby("split"):
        lines = "".join(f"{found[name].as_posix()}\n" for name in rows["id"])
        (folder / f"{split}.txt").write_text(lines, encoding="utf-8", newline="\n")
    content = {"train": "train.txt", "val": "val.txt", "names": spec.names}
    (folder / "data.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder / "data.yaml"


def train(model: str, data: Path, project: Path) -> list[Run]:
    """Start, resume or just open every stage."""
    runs = []
    for stage in range(len(STAGES[model])):
        folder = project / f"{model}-stage{stage + 1}"
        if not (folder / "summary.json").exists():
            arguments = command(stage, model, str(data), project.as_posix())[1:]
            if (folder / "weights" / "last.pt").exists():
                arguments = ["train", "--resume", str(folder)]
            subprocess.run([sys.executable, "-m", "yolo_ft", *arguments], check=True)
        runs.append(Run(folder))
    return runs


def package(model: str, runs: list[Run], data: Path, out: Path) -> None:
    """Write the half-precision checkpoint and its card; the card's numbers are those of the file as it is shipped."""
    counts = pd.read_csv(PHOTOGRAPHS)["split"].value_counts()
    facts = {"data": "photographs of COCO val2017", "training_images": int(counts["train"]), "imgsz": IMGSZ}
    facts |= {"epochs": sum(run.summary["epochs"] for run in runs), "batch": 16, "seed": 0}
    out.mkdir(parents=True, exist_ok=True)
    path = save_checkpoint(out / f"{model}.pt", YOLO(runs[-1].weights("last")).model, metadata=facts, half=True)
    metrics = YOLO(path).val(data, imgsz=IMGSZ)
    text = card(model, runs, counts, metrics, path)
    (out / f"{model}.md").write_text(text, encoding="utf-8", newline="\n")


def stage_row(number: int, run: Run) -> str:
    """One line of the card's table of stages."""
    summary, environment, final = run.summary, run.environment, run.summary["final"]
    cells = [number, summary["imgsz"], summary["epochs"], f"{summary['train_seconds']:.0f}"]
    cells += [f"{summary['images_per_s']:.0f}", f"{final['map50']:.3f}", f"{final['map50_95']:.3f}"]
    cells.append(f"{environment['processor']}, threads: {environment['threads']}, {summary['precision_mode']}")
    return f"| {' | '.join(map(str, cells))} |"


def card(model: str, runs: list[Run], counts: pd.Series, metrics: Metrics, path: Path) -> str:
    """The model card as Markdown."""
    table = metrics.per_class[metrics.per_class["instances"] > 0].sort_values("ap50", ascending=False)
    rows = [f"| {name} | {row.instances:.0f} | {row.ap50:.3f} | {row.ap50_95:.3f} |" for name, row in table.iterrows()]
    stages = [stage_row(number, run) for number, run in enumerate(runs, 1)]
    place = "runs/pretrain"
    commands = [" ".join(command(stage, model, f"{place}/chosen/data.yaml", place)) for stage in range(len(runs))]
    return f"""# The packaged {model}

A source to learn transfer with, not a detector to use: it saw {counts["train"]:,} photographs, where the official
weights saw 118,000 and more.

- **Data**: {counts["train"]:,} photographs of COCO val2017 (80 classes, annotations CC BY 4.0; the photographs have
  licences of their own and none is in this repository), reduced to a longest side of 416 px; {counts["val"]} others are
  held out for the tables below. Their ids: `tests/benchmarks/photographs.csv`.
- **On the held-out photographs**, {IMGSZ} px, this file: mAP50 {metrics.map50:.3f}, mAP50-95 {metrics.map50_95:.3f},
  precision {metrics.precision:.3f} and recall {metrics.recall:.3f} at confidence {metrics.confidence:.3f}.
- **Limits**: weak on most classes below. An accuracy after fine-tuning is one "with a
  source that saw {counts["train"]:,} photographs".
- **Licence**: MIT, as the code that made it.
- **SHA-256**: `{hashlib.sha256(path.read_bytes()).hexdigest()}` ({path.stat().st_size / 1e6:.2f} MB)

## Recipe

`python tests/benchmarks/pretrain.py {model} --data val2017/data.yaml` chooses the photographs, runs these stages, each
from the weights of the one before, halves the precision and writes this card.

```bash
{chr(10).join(commands)}
```

| stage | px | epochs | training seconds | images/s | mAP50 | mAP50-95 | on |
|---|---|---|---|---|---|---|---|
{chr(10).join(stages)}

## Per class

| class | held-out objects | AP50 | AP50-95 |
|---|---|---|---|
{chr(10).join(rows)}
"""


def main() -> None:
    """Train, then package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=list(STAGES))
    parser.add_argument("--data", type=Path, required=True, help="data.yaml of COCO val2017 with 80 classes")
    parser.add_argument("--project", type=Path, default=Path("runs/pretrain"), help="where the stages' runs land")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    data = choose(options.data, options.project / "chosen")
    package(options.model, train(options.model, data, options.project), data, options.out)


if __name__ == "__main__":
    main()
