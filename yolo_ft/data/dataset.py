"""A data set: images with their boxes, checked once when it is loaded. Lesson 06 loads your own."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from yolo_ft.core.boxes import cxcywh_to_xyxy
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data import catalog
from yolo_ft.data.drawn import DrawnSet, drawn_set
from yolo_ft.data.formats import SPLITS, DataSpec, key, label_path, parse_labels, read_spec, split_images
from yolo_ft.data.health import BACKGROUND, DROPPED, HealthReport, Issue
from yolo_ft.data.images import ImageError, check_image, read_image

CACHE_BYTES = 2 * 2**30
DRAFT_MARGIN = 2  # a JPEG may be decoded at reduced size while it keeps this many times the pixels that are needed


class PixelCache:
    """Resized images kept in memory up to a budget of bytes; beyond it they are read again each time.

    The budget is 2 GB, or a quarter of the memory that is free when the data set is made, if that is less.
    """

    def __init__(self) -> None:
        self.used = 0
        self._pixels: dict[tuple[str, int], np.ndarray] = {}
        self._lock = threading.Lock()
        self.allow(True)

    def allow(self, on: bool) -> None:
        """Keep images from now on, or let go of all and keep none (`cache: none` in a run's configuration)."""
        with self._lock:
            self.budget = min(CACHE_BYTES, psutil.virtual_memory().available // 4) if on else 0
            if not on:
                self._pixels.clear()
                self.used = 0

    def get(self, name: tuple[str, int]) -> np.ndarray | None:
        """The kept array, or None."""
        return self._pixels.get(name)

    def put(self, name: tuple[str, int], pixels: np.ndarray) -> None:
        """Keep the array if the budget allows it."""
        with self._lock:
            if name not in self._pixels and self.used + pixels.nbytes <= self.budget:
                self._pixels[name] = pixels
                self.used += pixels.nbytes


class Dataset:
    """Images (files or uint8 RGB arrays) with their targets, in a fixed order.

    `names`: {class index: name}. `keys`: one stable name per image. `health`: what the scan found.
    """

    def __init__(
        self,
        name: str,
        split: str,
        names: dict[int, str],
        keys: Sequence[str],
        images: Sequence[Path | np.ndarray],
        sizes: Sequence[tuple[int, int]],
        targets: Sequence[Target],
        health: HealthReport,
        cache: PixelCache | None = None,
    ) -> None:
        self.name, self.split, self.names, self.health = name, split, names, health
        self.keys = list(keys)
        self._images, self._sizes, self._targets = list(images), list(sizes), list(targets)
        self.cache = PixelCache() if cache is None else cache

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {self.split!r}, {len(self)} images, {self.num_classes} classes)"

    @property
    def num_classes(self) -> int:
        """How many classes `names` holds, whether or not each occurs."""
        return len(self.names)

    def target(self, index: int) -> Target:
        """The objects of image `index`, xyxy in pixels of the original image."""
        return self._targets[index]

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of the original image, EXIF orientation applied."""
        return self._sizes[index]

    def path(self, index: int) -> Path | None:
        """The file of image `index`; None where the image was drawn and has no file."""
        source = self._images[index]
        return source if isinstance(source, Path) else None

    def image(self, index: int) -> np.ndarray:
        """The original image, uint8 (h, w, 3) RGB."""
        source = self._images[index]
        return read_image(source) if isinstance(source, Path) else source.copy()

    def resized(self, index: int, imgsz: int) -> np.ndarray:
        """The image scaled so that its long side is `imgsz`: uint8 RGB, kept in memory. Do not write into it."""
        name = (self.keys[index], imgsz)
        pixels = self.cache.get(name)
        if pixels is None:
            pixels = self._resize(index, imgsz)
            self.cache.put(name, pixels)
        return pixels

    def _resize(self, index: int, imgsz: int) -> np.ndarray:
        source, (height, width) = self._images[index], self._sizes[index]
        pixels = read_image(source, at_least=DRAFT_MARGIN * imgsz) if isinstance(source, Path) else source
        gain = imgsz / max(height, width)
        wanted = (max(1, round(width * gain)), max(1, round(height * gain)))
        if pixels.shape[1::-1] == wanted:
            return pixels
        return np.asarray(Image.fromarray(pixels).resize(wanted, Image.Resampling.BILINEAR))

    def subset(self, indices: Sequence[int]) -> Dataset:
        """The images `indices`, in that order; shares the cache."""
        picked = [[items[int(i)] for i in indices] for items in (self.keys, self._images, self._sizes, self._targets)]
        return Dataset(self.name, self.split, self.names, *picked, self.health, self.cache)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over class names, images and boxes in order; the same wherever the folder lies."""
        digest = hashlib.sha256(repr(list(self.names.items())).encode("utf-8"))
        with ThreadPoolExecutor(_threads()) as pool:
            for content, target in zip(pool.map(_content_hash, self._images), self._targets, strict=True):
                digest.update(content + target.boxes.tobytes() + target.labels.tobytes())
        return digest.hexdigest()


def load_dataset(data: str | Path | Dataset, split: str = "train") -> Dataset:
    """The images and boxes of one split, checked.

    `data`: the path of a `data.yaml` or of the folder that holds it, or a drawn set that needs no files: "cells",
    "cells:field-lab" (another laboratory, see `CellsDomain`), "defects". A `Dataset` passes through. Findings are
    listed in `.health` and told in one warning; the rules are in `yolo_ft.data.health`. Raises `UserError` when the
    split does not exist or holds no labelled object.
    """
    if isinstance(data, Dataset):
        return data
    if split not in SPLITS:
        raise UserError(f"There is no split '{split}': choose one of {', '.join(SPLITS)}.")
    if drawn := drawn_set(data):
        return _drawn(drawn, split)
    spec = read_spec(_locate(data))
    dataset = _scan(spec, split)
    if dataset.health.issues:
        warnings.warn(dataset.health.summary(), stacklevel=2)
    if not dataset.health.objects:
        raise UserError(
            f"{spec.path}: no image of '{split}' has a labelled object. Labels are expected beside the images, for "
            f"example {label_path(spec.root / 'images' / 'a.jpg')}. {dataset.health.summary()}"
        )
    return dataset


def load_splits(data: str | Path | Dataset) -> dict[str, Dataset]:
    """Every split that a data set has, by name, whatever its state: findings are in each `.health`, none is told.

    For work on data before any training (checks, statistics, splits); to train, use `load_dataset`. Lesson 06.
    """
    if isinstance(data, Dataset):
        return {data.split: data}
    if drawn := drawn_set(data):
        return {split: _drawn(drawn, split) for split in SPLITS}
    spec = read_spec(_locate(data))
    return {split: _scan(spec, split) for split in spec.splits}


@functools.lru_cache(maxsize=8)
def _drawn(drawn: DrawnSet, split: str) -> Dataset:
    """A drawn set's split; the last few are kept, so that it is drawn once per process."""
    images, targets = drawn.content(split)
    objects = sum(len(target) for target in targets)
    health = HealthReport(drawn.name, split, len(images), objects, sum(not len(target) for target in targets))
    sizes = [image.shape[:2] for image in images]
    folder = drawn.name.replace(":", "-")  # keys may become file names
    keys = [f"{folder}/{split}/{i:05d}" for i in range(len(images))]
    return Dataset(drawn.name, split, dict(drawn.names), keys, images, sizes, targets, health)


def _locate(data: str | Path) -> Path:
    """The `data.yaml` that the user means."""
    path = Path(data).expanduser()
    if path.is_dir():
        found = sorted(path.glob("*.yaml")) + sorted(path.glob("*.yml"))
        named = [file for file in found if file.stem == "data"] or found
        if len(named) != 1:
            what = f"several ({', '.join(file.name for file in named)})" if named else "none"
            raise UserError(f"{path} should hold one data.yaml but holds {what}: pass the path of the file.")
        return named[0]
    if path.is_file():
        if path.suffix.lower() not in (".yaml", ".yml"):
            raise UserError(f"{path} is no data.yaml: pass the YAML file that names train, val and the classes.")
        return path
    if known := catalog.find(data):
        return _locate(known)
    text = str(data)
    if path.parent == Path() and path.suffix in ("", ".yaml", ".yml"):
        raise UserError(
            f"{path.stem or text} is not on this machine: download it, unpack it and pass the path of its data.yaml; "
            "offline you can use data='cells'."
        )
    raise UserError(f"{text} does not exist (from {Path.cwd()}): pass the path of a data.yaml, or data='cells'.")


def _scan(spec: DataSpec, split: str) -> Dataset:
    """Check every image and label file of a split."""
    paths, issues = split_images(spec, split)
    check = functools.partial(_check, root=spec.root, num_classes=len(spec.names))
    kept: list[tuple[str, Path, tuple[int, int], Target]] = []
    with ThreadPoolExecutor(_threads()) as pool:
        for path, (size, target, findings) in zip(paths, pool.map(check, paths), strict=True):
            issues += findings
            if target is not None:
                kept.append((key(path, spec.root), path, size, target))
    objects = sum(len(target) for *_, target in kept)
    background = sum(not len(target) for *_, target in kept)
    health = HealthReport(spec.name, split, len(kept), objects, background, issues)
    columns = [[row[i] for row in kept] for i in range(4)]
    return Dataset(spec.name, split, spec.names, *columns, health)


def _check(path: Path, root: Path, num_classes: int) -> tuple[tuple[int, int], Target | None, list[Issue]]:
    """((height, width), objects or None if the image is dropped, findings) of one image."""
    try:
        height, width = check_image(path)
    except ImageError as error:
        return (0, 0), None, [Issue(key(path, root), None, error.reason, DROPPED)]
    label = label_path(path)
    try:
        text = label.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return (height, width), Target(), [Issue(key(path, root), None, f"no label file {label.name}", BACKGROUND)]
    except (UnicodeDecodeError, OSError) as error:
        return (0, 0), None, [Issue(key(label, root), None, f"cannot be read as UTF-8 text ({error})", DROPPED)]
    rows, findings = parse_labels(text, num_classes)
    issues = [Issue(key(label, root), *finding) for finding in findings]
    if any(issue.action == DROPPED for issue in issues):
        return (0, 0), None, issues
    if not len(rows):
        issues.append(Issue(key(label, root), None, "the label file is empty", BACKGROUND))
    limits = np.array([width, height, width, height], np.float64)
    boxes = np.clip(cxcywh_to_xyxy(rows[:, 1:]) * limits, 0, limits)
    return (height, width), Target(boxes, rows[:, 0]), issues


def _content_hash(image: Path | np.ndarray) -> bytes:
    if isinstance(image, Path):
        return hashlib.sha256(image.read_bytes()).digest()
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()


def _threads() -> int:
    return min(8, os.cpu_count() or 1)
