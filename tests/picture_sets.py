"""Small data sets for the tests: drawn in memory, or written as the YOLO folders that people have."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from yolo_ft.core.targets import Target
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.health import HealthReport

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255))


def rectangles(height: int, width: int, boxes: Sequence[Sequence[int]], labels: Sequence[int]) -> np.ndarray:
    """A black image whose boxes (xyxy, whole pixels) are filled with the colour of their class."""
    image = np.zeros((height, width, 3), np.uint8)
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        image[y1:y2, x1:x2] = COLOURS[label]
    return image


def in_memory(images: Sequence[np.ndarray], targets: Sequence[Target], classes: int = len(COLOURS)) -> Dataset:
    """A `Dataset` of arrays."""
    sizes = [image.shape[:2] for image in images]
    keys = [f"image{i}" for i in range(len(images))]
    names = {i: f"class{i}" for i in range(classes)}
    return Dataset("drawn", "train", names, keys, images, sizes, targets, HealthReport())


def coloured(count: int, seed: int = 0, size: tuple[int, int] = (48, 80)) -> Dataset:
    """`count` images of coloured rectangles that do not overlap: two per image, in different classes."""
    rng = np.random.default_rng(seed)
    height, width = size
    images, targets = [], []
    for i in range(count):
        x = rng.integers(2, width // 2 - 16, 2) + np.array([0, width // 2])
        y = rng.integers(2, height - 24, 2)
        w, h = rng.integers(8, 14, 2), rng.integers(8, 20, 2)
        boxes, labels = np.stack([x, y, x + w, y + h], 1), [i % 6, (i + 3) % 6]
        images.append(rectangles(height, width, boxes, labels))
        targets.append(Target(boxes, labels))
    return in_memory(images, targets)


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise that no format can compress to nothing."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_set(
    folder: Path, labels: dict[str, str | None], yaml_text: str = "", size: tuple[int, int] = (60, 100)
) -> Path:
    """Write images/<name>, labels/<stem>.txt (None: no label file) and data.yaml; returns the path of the YAML file."""
    for number, (name, text) in enumerate(labels.items()):
        image = folder / "images" / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(*size, number)).save(image)
        if text is not None:
            label = (folder / "labels" / name).with_suffix(".txt")
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_bytes(text.encode("utf-8"))
    file = folder / "data.yaml"
    file.write_text(yaml_text or "path: .\ntrain: images\nval: images\nnames: [cat, dog]\n", encoding="utf-8")
    return file


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """{file: (SHA-256, time of change)} of everything below a folder, the folders themselves included."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
            path.stat().st_mtime_ns,
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }
