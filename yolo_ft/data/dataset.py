"""A data set: images with their boxes, checked once when it is loaded. Lesson 06 loads your own."""

from __future__ import annotations

import functools
import hashlib
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from yolo_ft.core.cores import reading_threads
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.drawn.sets import DrawnSet, drawn_set
from yolo_ft.data.formats.records import SPLITS, Scan, Source
from yolo_ft.data.formats.scan import open_source, scan
from yolo_ft.data.formats.yolo import ELSEWHERE
from yolo_ft.data.health import HealthReport
from yolo_ft.data.images import read_image

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

    def joined(self, rows: Sequence[tuple[Dataset, int]]) -> Dataset:
        """One set, "all", of images of several splits of which this is one: (split, index) each. It has no findings."""
        keys, pictures = [part.keys[i] for part, i in rows], [part._images[i] for part, i in rows]
        sizes, targets = [part.size(i) for part, i in rows], [part.target(i) for part, i in rows]
        return Dataset(self.name, "all", self.names, keys, pictures, sizes, targets, HealthReport())

    def class_counts(self) -> np.ndarray:
        """How many objects of every class every image shows, (images, classes) int64."""
        image = np.repeat(np.arange(len(self)), [len(target) for target in self._targets])
        label = np.concatenate([np.zeros(0, np.int64), *(target.labels for target in self._targets)])
        shape = (len(self), self.num_classes)
        return np.bincount(image * self.num_classes + label, minlength=shape[0] * shape[1]).reshape(shape)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over class names, images and boxes in order; the same wherever the folder lies."""
        digest = hashlib.sha256(repr(list(self.names.items())).encode("utf-8"))
        with ThreadPoolExecutor(reading_threads()) as pool:
            for content, target in zip(pool.map(_content_hash, self._images), self._targets, strict=True):
                digest.update(content + target.boxes.tobytes() + target.labels.tobytes())
        return digest.hexdigest()


def load_dataset(
    data: str | Path | Dataset, split: str = "train", images: str | Path | None = None, origin: int = 1
) -> Dataset:
    """The images and boxes of one split, checked.

    `data`: the path of a `data.yaml`, of a COCO file, or of a folder in YOLO, Pascal VOC or COCO format, also as CVAT,
    Label Studio and Roboflow export it; the name of a public set such as "coco8" (`yolo-ft data list`), fetched once;
    or a drawn set that needs no files: "cells", "cells:field-lab" (another laboratory, see `CellsDomain`), "defects". A
    `Dataset` passes through.
    `images`: the folder of the images where they do not lie with the annotations. `origin`: the number of the first
    pixel in VOC files, 1 as its devkit counts, or 0. Findings are listed in `.health` and told in one warning; the
    rules are in `yolo_ft.data.health`. Raises `UserError` when the split does not exist or holds no labelled object.
    Lesson 06.
    """
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, str | Path):
        raise UserError(f"data={data!r} is no data set: give a data.yaml, a folder, or a name such as 'cells'.")
    if split not in SPLITS:
        raise UserError(f"There is no split '{split}': choose one of {', '.join(SPLITS)}.")
    if drawn := drawn_set(data):
        return _drawn(drawn, split)
    source = open_source(data, images, origin)
    dataset = _from_scan(scan(source, split))
    if not len(dataset) and not dataset.health.issues:
        raise UserError(f"{source.path}: the split '{split}' holds no image: check its path, or {ELSEWHERE}.")
    if not dataset.health.objects:
        elsewhere = "" if len(dataset) else f" Or {ELSEWHERE}."
        raise UserError(
            f"{source.path}: no image of '{split}' has a labelled object. {source.hint}{elsewhere} "
            f"{dataset.health.summary()}"
        )
    if dataset.health.issues:
        warnings.warn(dataset.health.summary(), stacklevel=2)
    return dataset


def load_splits(data: str | Path | Dataset, images: str | Path | None = None, origin: int = 1) -> dict[str, Dataset]:
    """Every split that a data set has, by name, whatever its state: findings are in each `.health`, none is told.

    For work on data before any training (checks, statistics, splits); to train, use `load_dataset`, whose arguments
    these are. A split may be empty; raises `UserError` when no split names an image. Lesson 06.
    """
    if isinstance(data, Dataset):
        return {data.split: data}
    if drawn := drawn_set(data):
        return {split: _drawn(drawn, split) for split in SPLITS}
    return read_splits(open_source(data, images, origin))


def read_splits(source: Source) -> dict[str, Dataset]:
    """Every split of an open data set, as `load_splits` gives them."""
    splits = {split: _from_scan(scan(source, split)) for split in source.splits}
    if not any(len(dataset) or dataset.health.issues for dataset in splits.values()):
        names = ", ".join(splits)
        raise UserError(f"{source.path}: no split ({names}) holds an image: check the paths, or {ELSEWHERE}.")
    return splits


def _from_scan(found: Scan) -> Dataset:
    records = found.records
    keys, pictures, sizes = ([getattr(r, what) for r in records] for what in ("key", "image", "size"))
    targets = [record.objects() for record in records]
    return Dataset(found.name, found.split, found.names, keys, pictures, sizes, targets, found.health)


@functools.lru_cache(maxsize=8)
def _drawn(drawn: DrawnSet, split: str) -> Dataset:
    """A drawn set's split; the last few are kept, so that it is drawn once per process."""
    images, targets = drawn.content(split)
    health = HealthReport.of(drawn.name, split, [len(target) for target in targets])
    sizes = [image.shape[:2] for image in images]
    folder = drawn.name.replace(":", "-")  # keys may become file names
    keys = [f"{folder}/{split}/{i:05d}" for i in range(len(images))]
    return Dataset(drawn.name, split, dict(drawn.names), keys, images, sizes, targets, health)


def _content_hash(image: Path | np.ndarray) -> bytes:
    if isinstance(image, Path):
        return hashlib.sha256(image.read_bytes()).digest()
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
