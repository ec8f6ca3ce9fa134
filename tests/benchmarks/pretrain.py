"""Make the packaged checkpoint: train YOLOv5n on COCO photographs, halve the numbers, write the model card.

    python tests/benchmarks/pretrain.py --data path/to/coco/data.yaml

The data is a YOLO folder with COCO's 80 classes. The training is resumed when it was interrupted; the result is
`yolov5n.pt` and `README.md` in `--out`. Lesson 12 asks what such a source is worth.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

from yolo_ft import YOLO, load_dataset
from yolo_ft.finetune.checkpoints import save_checkpoint
from yolo_ft.finetune.runs import Run

RECIPE = {
    "--weights": "yolov5n.yaml",
    "--epochs": "45",
    "--imgsz": "320",
    "--batch": "16",
    "--val-every": "15",
    "--lr0": "0.002",
    "--seed": "0",
}
SETTINGS = {
    "weight_decay": 0.05,
    "warmup_epochs": 2.0,
    "close_mosaic": 6,
    "ema_decay": 0.999,
    "ema_ramp": 2000.0,
    "bn_momentum": 0.03,
}


def command(data: str, project: str, name: str) -> list[str]:
    """The training as a `yolo-ft` command."""
    flags = [part for item in RECIPE.items() for part in item]
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    return ["yolo-ft", "train", "--data", data, *flags, *settings, "--project", project, "--name", name]


def train(data: str, folder: Path) -> Run:
    """Start, resume or just open the training run `folder`."""
    if not (folder / "summary.json").exists():
        arguments = command(data, str(folder.parent), folder.name)[1:]
        if (folder / "weights" / "last.pt").exists():
            arguments = ["train", "--resume", str(folder)]
        subprocess.run([sys.executable, "-m", "yolo_ft", *arguments], check=True)
    return Run(folder)


def package(run: Run, data: str, out: Path) -> None:
    """Write the half-precision checkpoint and its card; the card's numbers are those of the file as it is shipped."""
    model = YOLO(run.weights("best"))
    images = {split: len(load_dataset(data, split)) for split in ("train", "val")}
    facts = {"data": "photographs of COCO val2017", "training_images": images["train"], "imgsz": 320}
    facts |= {"epochs": run.summary["epochs"], "batch": run.summary["batch"], "seed": run.summary["seed"]}
    out.mkdir(parents=True, exist_ok=True)
    path = save_checkpoint(out / "yolov5n.pt", model.model, metadata=facts, half=True)
    metrics = YOLO(path).val(data, imgsz=320)
    (out / "README.md").write_text(card(run, images, metrics, path), encoding="utf-8", newline="\n")


def card(run: Run, images: dict, metrics, path: Path) -> str:
    """The model card as Markdown."""
    summary, environment = run.summary, run.environment
    table = metrics.per_class[metrics.per_class["instances"] > 0].sort_values("ap50", ascending=False)
    rows = [f"| {name} | {row.instances:.0f} | {row.ap50:.3f} | {row.ap50_95:.3f} |" for name, row in table.iterrows()]
    machine = f"{environment['processor']}, threads: {environment['threads']}, {summary['precision_mode']}"
    shown = " ".join(command("coco/data.yaml", "runs", "pretrain"))
    return f"""# The packaged checkpoint: YOLOv5n

`YOLO()` loads it. A provisional source to learn transfer with, not a detector to use: it saw {images["train"]:,}
photographs, where the official weights saw 118,000 and more.

- **Data**: {images["train"]:,} photographs of COCO val2017 (80 classes, annotations CC BY 4.0; the photographs have
  licences of their own and none is in this repository); {images["val"]} others are held out for the table below.
- **Recipe**: `{shown}`,
  then `python tests/benchmarks/pretrain.py` halves the precision and writes this card.
- **Cost**: {summary["train_seconds"]:.0f} s of training at {summary["images_per_s"]:.0f} images/s
  ({machine}).
- **On the held-out photographs**, 320 px: mAP50 {metrics.map50:.3f}, mAP50-95 {metrics.map50_95:.3f}, precision
  {metrics.precision:.3f} and recall {metrics.recall:.3f} at confidence {metrics.confidence:.3f}.
- **Limits**: weak on every class below, blind to most small objects. An accuracy after fine-tuning is one "with a
  source that saw {images["train"]:,} photographs".
- **Licence**: MIT, as the code that made it.
- **SHA-256**: `{hashlib.sha256(path.read_bytes()).hexdigest()}` ({path.stat().st_size / 1e6:.2f} MB)

| class | held-out objects | AP50 | AP50-95 |
|---|---|---|---|
{chr(10).join(rows)}
"""


def main() -> None:
    """Train, then package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="data.yaml of COCO photographs with 80 classes")
    parser.add_argument("--run", type=Path, default=Path("runs/pretrain"), help="training run folder")
    parser.add_argument("--out", type=Path, default=Path("yolo_ft/weights"))
    options = parser.parse_args()
    package(train(options.data, options.run), options.data, options.out)


if __name__ == "__main__":
    main()
