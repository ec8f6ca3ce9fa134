"""A data set copied into a folder of the benchmark, so that every trainer finds the same images in the same way.

The peers write label caches beside the labels and read `path:` from other places than we do: each gets its own copy.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from yolo_ft.core.errors import UserError
from yolo_ft.data.formats.labels import label_path
from yolo_ft.data.formats.yolo import read_spec, split_images

SPLITS = ("train", "val")


def place_data(source: Path, folder: Path, images: int | None = None) -> Path:
    """Copy the data set `source` (a data.yaml or its folder) into `folder`; returns the new data.yaml.

    Images are named by their position, `images/train/00000.jpg`. With `images` only the first so many are trained on;
    validation is never cut. Raises UserError without a data.yaml.
    """
    file = source / "data.yaml" if source.is_dir() else source
    if not file.is_file():
        raise UserError(f"{file} does not exist: give a data.yaml, or the folder that holds one.")
    spec = read_spec(file)
    for split in SPLITS:
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        found = split_images(spec, split)[0]
        for i, path in enumerate(found[:images] if split == "train" else found):
            shutil.copyfile(path, folder / "images" / split / f"{i:05d}{path.suffix}")
            if label_path(path).is_file():  # an image without one shows nothing
                shutil.copyfile(label_path(path), folder / "labels" / split / f"{i:05d}.txt")
    content = {"path": folder.resolve().as_posix(), **{split: f"images/{split}" for split in SPLITS}}
    placed = folder / "data.yaml"
    placed.write_text(yaml.safe_dump({**content, "names": spec.names}, sort_keys=False), encoding="utf-8")
    return placed


def count(data: Path, split: str) -> int:
    """How many images a placed data.yaml has in `split`."""
    return len(list((data.parent / "images" / split).iterdir()))
