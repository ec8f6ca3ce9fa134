"""What an image holds (Target), what a detector says about it (Detections), and what the trainer eats (Batch)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from yolo_ft.core.boxes import Letterbox
from yolo_ft.core.signposts import Signposts


@dataclass
class Target:
    """The labelled objects of one image.

    `boxes`: (n, 4) float32, xyxy in pixels of the image that it belongs to. `labels`: (n,) int64 class indices.
    Both are always filtered together, through `keep`.
    """

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.boxes = np.asarray(self.boxes, np.float32).reshape(-1, 4)
        self.labels = np.asarray(self.labels, np.int64).reshape(-1)
        if len(self.boxes) != len(self.labels):
            raise ValueError(f"{len(self.boxes)} boxes but {len(self.labels)} labels.")

    def __len__(self) -> int:
        return len(self.labels)

    def keep(self, mask: np.ndarray) -> Target:
        """The objects that `mask` (booleans or indices) selects."""
        return Target(self.boxes[mask], self.labels[mask])


@dataclass
class Detections(Signposts):
    """The objects that a detector found in one image, best first.

    `boxes`: (n, 4) float32, xyxy in pixels of the original image. `scores`: (n,) float32 in [0, 1]. `labels`: (n,).
    """

    elsewhere = {
        "conf": "scores has one per box",
        "cls": "labels has one per box",
        "xyxy": "boxes is just that, in pixels of the image",
        "plot": "yolo_ft.report.pictures.draw_boxes(image, detections=...) draws them",
        "show": "yolo_ft.report.pictures.draw_boxes(image, detections=...) draws them",
        "save": "yolo-ft predict draws images into a folder",
    }

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.boxes = np.asarray(self.boxes, np.float32).reshape(-1, 4)
        self.scores = np.asarray(self.scores, np.float32).reshape(-1)
        self.labels = np.asarray(self.labels, np.int64).reshape(-1)
        if not len(self.boxes) == len(self.scores) == len(self.labels):
            raise ValueError(f"{len(self.boxes)} boxes, {len(self.scores)} scores, {len(self.labels)} labels.")

    def __len__(self) -> int:
        return len(self.labels)

    def keep(self, mask: np.ndarray) -> Detections:
        """The detections that `mask` (booleans or indices) selects."""
        return Detections(self.boxes[mask], self.scores[mask], self.labels[mask])

    def above(self, confidence: float) -> Detections:
        """The detections whose score is at least `confidence`."""
        return self.keep(self.scores >= confidence)


@dataclass
class Batch:
    """Images of one size with their objects.

    `images`: uint8 (b, 3, h, w). `targets`: float32 (t, 6), rows [image in batch, class, cx, cy, w, h] normalised to
    the network input. `indices`: the images' positions in their dataset. `letterboxes`: how each image was fitted
    (evaluation only; None in training, where augmentation leaves no single way back).
    """

    images: torch.Tensor
    targets: torch.Tensor
    indices: list[int]
    letterboxes: list[Letterbox] | None = None

    def __len__(self) -> int:
        return len(self.indices)
