"""AutoAnchor: do the anchors reach the boxes of this dataset, and if not, which would?"""

from __future__ import annotations

import numpy as np
import torch

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.seeding import generator
from yolo_ft.data.dataset import Dataset
from yolo_ft.models import Detector

ENOUGH = 0.98  # share of boxes that an anchor must reach before anything is changed (YOLOv5 v7.0)
STREAM = 2  # last word of the generator's key


def box_sizes(dataset: Dataset, imgsz: int) -> np.ndarray:
    """(n, 2) width and height of every box in pixels when the image's long side is `imgsz`."""
    sizes = [np.zeros((0, 2), np.float32)]
    for i in range(len(dataset)):
        boxes = dataset.target(i).boxes
        sizes.append((boxes[:, 2:] - boxes[:, :2]) * imgsz / max(dataset.size(i)))
    return np.concatenate(sizes)


def _reach(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Best over anchors of the worst side ratio, (n,): 1 is a perfect fit, 1/4 the default limit."""
    ratio = sizes[:, None] / anchors[None]  # (n, anchors, 2)
    return np.minimum(ratio, 1 / ratio).min(2).max(1)


def best_possible_recall(sizes: np.ndarray, anchors: np.ndarray, threshold: float) -> float:
    """Share of boxes that some anchor fits within a factor of `threshold` on both sides; 1 without boxes."""
    return float((_reach(sizes, anchors) > 1 / threshold).mean()) if len(sizes) else 1.0


def evolve_anchors(
    sizes: np.ndarray, count: int, threshold: float, rng: np.random.Generator, rounds: int = 1000
) -> np.ndarray:
    """(count, 2) anchors for the sizes, smallest first: k-means, then mutations that raise the mean fit.

    The fitness is the mean over boxes of the best fit where it passes the threshold (YOLOv5 v7.0).
    """
    sizes = sizes[(sizes >= 2).any(1)]
    spread = sizes.std(0) + 1e-9
    centres = _kmeans(sizes / spread, count, rng) * spread

    def fit(anchors: np.ndarray) -> float:
        best = _reach(sizes, anchors)
        return float((best * (best > 1 / threshold)).mean())

    score = fit(centres)
    for _ in range(rounds):
        factor = 1 + (rng.random(centres.shape) < 0.9) * rng.random() * rng.standard_normal(centres.shape) * 0.1
        candidate = np.maximum(centres * np.clip(factor, 0.3, 3.0), 2.0)
        candidate_score = fit(candidate)
        if candidate_score > score:
            centres, score = candidate, candidate_score
    return centres[np.argsort(centres.prod(1), kind="stable")]


def _kmeans(points: np.ndarray, count: int, rng: np.random.Generator, rounds: int = 30) -> np.ndarray:
    """(count, 2) cluster centres; a centre that loses all its points stays where it was."""
    centres = points[rng.choice(len(points), count, replace=False)]
    for _ in range(rounds):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(2).argmin(1)
        centres = np.stack([points[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in range(count)])
    return centres


def fit_anchors(model: Detector, dataset: Dataset, config: TrainConfig) -> dict | None:
    """Replace the model's anchors when they miss more than 2 % of the boxes and better ones are found.

    Returns {"recall_before", "recall_after"} when they were replaced, else None: always where there are no anchors.
    Called once before training.
    """
    anchors = getattr(model.head, "anchors", None)  # (level, anchor, 2) in cells
    if anchors is None:
        return None
    strides = torch.tensor(model.strides, dtype=anchors.dtype, device=anchors.device).view(-1, 1, 1)
    sizes = box_sizes(dataset, config.imgsz)
    pixels = (anchors * strides).reshape(-1, 2).cpu().numpy()
    before = best_possible_recall(sizes, pixels, config.anchor_t)
    if before > ENOUGH or len(sizes) < 2 * len(pixels):
        return None
    evolved = evolve_anchors(sizes, len(pixels), config.anchor_t, generator(config.seed, STREAM))
    after = best_possible_recall(sizes, evolved, config.anchor_t)
    if after <= before:
        return None
    anchors.copy_(torch.from_numpy(evolved).to(anchors).view_as(anchors) / strides)
    return {"recall_before": before, "recall_after": after}
