"""A small copy of a data set with faults planted in it, for lesson 06 to find and mend."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.data.conversion.convert import convert
from yolo_ft.data.dataset import Dataset

HELD_OUT = 4  # every fourth image validates
FEWEST = 8  # images with objects: every fault gets an image of its own


def plant_faults(dataset: Dataset, out: str | Path, images: int = 40) -> dict[str, str]:
    """Write the first `images` images of a data set to the new folder `out` (YOLO), and damage the copy.

    Three quarters become `train`, one quarter `val`. Returns {what `check` should call it: what was done}. The data set
    itself is only read. Raises UserError when fewer than eight images show an object, or when `out` exists. Lesson 06.
    """
    shown = [i for i in range(len(dataset)) if len(dataset.target(i))][:images]
    if len(shown) < FEWEST:
        raise UserError(f"{dataset.name} has {len(shown)} images with objects; give {FEWEST} at least.")
    folder = Path(out)
    convert(dataset.subset(shown), folder, "yolo")
    _hold_out(folder, dataset.names)
    train, val = (sorted((folder / "labels" / split).iterdir()) for split in ("train", "val"))
    _copy(train[0], val[0].with_name("again.txt"), gain=1.0, light=1.0)
    _copy(train[1], val[0].with_name("smaller.txt"), gain=0.6, light=0.85)
    rows = train[2].read_text(encoding="utf-8").splitlines()
    _append(train[2], f"{len(dataset.names)} {rows[0].partition(' ')[2]}")
    rows = train[3].read_text(encoding="utf-8").splitlines()
    _append(train[3], rows[0])
    _append(train[4], "0 0.5 0.5 0.002 0.002")
    train[5].unlink()
    return {
        "copy in two splits": "two training images put into val, one smaller and darker",
        "image dropped": f"a row of class {len(dataset.names)}, which does not exist",
        "row removed": "a row written twice",
        "tiny box": "a slip of the mouse, 0.2 % of the image wide",
        "no label file": "a label file deleted",
    }


def _hold_out(folder: Path, names: dict[int, str]) -> None:
    """Move every fourth image and its labels from `train` to `val`."""
    for kind in ("images", "labels"):
        (folder / kind / "val").mkdir()
        for path in sorted((folder / kind / "train").iterdir())[HELD_OUT - 1 :: HELD_OUT]:
            path.rename(folder / kind / "val" / path.name)
    content = {"path": ".", "train": "images/train", "val": "images/val", "names": dict(names)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8", newline="\n")


def _copy(label: Path, to: Path, gain: float, light: float) -> None:
    """Copy an image and its labels, the image resized by `gain` and its levels multiplied by `light`."""
    shutil.copyfile(label, to)
    source = next((label.parents[2] / "images" / label.parent.name).glob(f"{label.stem}.*"))
    with Image.open(source) as image:
        smaller = image.convert("RGB").resize([round(side * gain) for side in image.size])
    place = to.parents[2] / "images" / to.parent.name / f"{to.stem}.png"
    smaller.point(lambda level: level * light).save(place)


def _append(label: Path, row: str) -> None:
    with label.open("a", encoding="utf-8", newline="\n") as file:
        file.write(f"{row}\n")
