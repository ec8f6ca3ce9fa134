"""Training augmentation under the names of the YOLOv5 hyp files: mosaic, affine, HSV, flips, mixup, letterbox.

Every draw comes from a generator keyed by (seed, epoch, image), so an augmented image never depends on workers, on
batches or on what was drawn before. `copy_paste` needs polygons, which our targets do not keep: it cannot act.
Lesson 09 plays with every knob.
"""

from __future__ import annotations

import numpy as np

from yolo_ft.core.boxes import letterbox
from yolo_ft.core.config import TrainConfig
from yolo_ft.core.seeding import generator
from yolo_ft.core.targets import Target
from yolo_ft.data.colour import hsv_gains, jitter_hsv
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.warp import Tile, random_matrix, warp

AUGMENT_STREAM = 1  # fourth word of the key: keeps these draws apart from those of the data order


def augment(
    dataset: Dataset, index: int, config: TrainConfig, seed: int, epoch: int, mosaic: bool = True
) -> tuple[np.ndarray, Target]:
    """Image `index` as epoch `epoch` sees it: uint8 (imgsz, imgsz, 3) RGB and its boxes, xyxy in its pixels.

    With `mosaic=False` (the closing epochs) no mosaic and no mixup is made. Order as in YOLOv5 v7.0: mosaic (and
    mixup) or letterbox, affine map, HSV, vertical flip, horizontal flip.
    """
    rng = generator(seed, epoch, index, AUGMENT_STREAM)
    size = config.imgsz
    if mosaic and rng.random() < config.mosaic:
        image, target = mosaic4(dataset, index, config, rng)
        if rng.random() < config.mixup:
            other = mosaic4(dataset, int(rng.integers(len(dataset))), config, rng)
            image, target = mix(image, target, *other, float(rng.beta(32.0, 32.0)))
    else:
        tile = letterboxed(dataset, index, size)
        image, target = warp([tile], size, *random_matrix(rng, size, size, config), size)
    gains = hsv_gains(rng, config.hsv_h, config.hsv_s, config.hsv_v)
    if gains != (1.0, 1.0, 1.0):
        image = jitter_hsv(image, *gains)
    if rng.random() < config.flipud:
        image, target = image[::-1], Target(_mirror(target.boxes, 1, size), target.labels)
    if rng.random() < config.fliplr:
        image, target = image[:, ::-1], Target(_mirror(target.boxes, 0, size), target.labels)
    return image, target


def mosaic4(dataset: Dataset, index: int, config: TrainConfig, rng: np.random.Generator) -> tuple[np.ndarray, Target]:
    """Image `index` and three random ones around a random centre of a double-size canvas, then the random map."""
    size = config.imgsz
    xc, yc = (int(value) for value in rng.uniform(size / 2, 3 * size / 2, 2))
    indices = rng.permutation([index, *rng.integers(len(dataset), size=3)])
    tiles = [corner_tile(dataset, int(i), size, corner, xc, yc) for corner, i in enumerate(indices)]
    return warp(tiles, 2 * size, *random_matrix(rng, 2 * size, size, config), size)


def corner_tile(dataset: Dataset, index: int, size: int, corner: int, xc: int, yc: int) -> Tile:
    """Image `index` touching the point (xc, yc) from the top left, top right, bottom left or bottom right (0..3)."""
    pixels, target = scaled(dataset, index, size)
    height, width = pixels.shape[:2]
    left = xc - width if corner in (0, 2) else xc
    top = yc - height if corner in (0, 1) else yc
    return Tile(pixels, left, top, target)


def letterboxed(dataset: Dataset, index: int, size: int) -> Tile:
    """Image `index` in the middle of a (size, size) canvas."""
    pixels, target = scaled(dataset, index, size)
    box = letterbox(*dataset.size(index), size)
    return Tile(pixels, box.left, box.top, target)


def scaled(dataset: Dataset, index: int, size: int) -> tuple[np.ndarray, Target]:
    """Image `index` with its long side at `size`, and its boxes in those pixels."""
    pixels, target, (height, width) = dataset.resized(index, size), dataset.target(index), dataset.size(index)
    ratio = np.array([pixels.shape[1] / width, pixels.shape[0] / height] * 2, np.float32)
    return pixels, Target(target.boxes * ratio, target.labels)


def mix(
    image: np.ndarray, target: Target, other: np.ndarray, other_target: Target, share: float
) -> tuple[np.ndarray, Target]:
    """MixUp: `share` of the first image plus the rest of the second, with the boxes of both."""
    blend = image.astype(np.float32) * np.float32(share) + other.astype(np.float32) * np.float32(1 - share)
    boxes = np.concatenate([target.boxes, other_target.boxes])
    return blend.astype(np.uint8), Target(boxes, np.concatenate([target.labels, other_target.labels]))


def _mirror(boxes: np.ndarray, axis: int, size: int) -> np.ndarray:
    """(n, 4) xyxy boxes mirrored in a square of `size` along x (axis 0) or y (axis 1)."""
    mirrored = boxes.copy()
    mirrored[:, axis], mirrored[:, axis + 2] = size - boxes[:, axis + 2], size - boxes[:, axis]
    return mirrored
