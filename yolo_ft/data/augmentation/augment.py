"""Training augmentation under the names of the YOLOv5 hyp files: mosaic, affine, HSV, flips, mixup, letterbox.

Every draw comes from a generator keyed by (seed, epoch, image), so an augmented image never depends on workers, on
batches or on what was drawn before. `copy_paste` is ours (`paste.py`): YOLOv5 mirrors outlines within a mosaic, here
rare objects are pasted by their boxes. Lesson 09 plays with every knob.
"""

from __future__ import annotations

import numpy as np

from yolo_ft.core.boxes import letterbox
from yolo_ft.core.config import TrainConfig
from yolo_ft.core.seeding import generator
from yolo_ft.core.targets import Target
from yolo_ft.data.augmentation.colour import hsv_gains, jitter_hsv
from yolo_ft.data.augmentation.paste import Paster
from yolo_ft.data.augmentation.warp import Tile, random_matrix, scaled, warp
from yolo_ft.data.dataset import Dataset

# fourth word of the key: keeps these draws apart from those of the data order, and pasting from everything else
AUGMENT_STREAM, PASTE_STREAM = 1, 3


def augment(
    dataset: Dataset, index: int, config: TrainConfig, seed: int, epoch: int, mosaic: bool = True
) -> tuple[np.ndarray, Target]:
    """Image `index` as epoch `epoch` sees it: uint8 (imgsz, imgsz, 3) RGB and its boxes, xyxy in its pixels.

    With `mosaic=False` (the closing epochs) no mosaic, no mixup and no pasting is made. Order as in YOLOv5 v7.0:
    mosaic (and mixup) or letterbox, affine map, HSV, vertical flip, horizontal flip. Objects are pasted into the single
    images, before anything else; all other draws are the same with and without.
    """
    rng = generator(seed, epoch, index, AUGMENT_STREAM)
    size, paste = config.imgsz, None
    if mosaic and config.copy_paste:
        paste = Paster(dataset, size, config.copy_paste, generator(seed, epoch, index, PASTE_STREAM))
    if mosaic and rng.random() < config.mosaic:
        image, target = mosaic4(dataset, index, config, rng, paste)
        if rng.random() < config.mixup:
            other = mosaic4(dataset, int(rng.integers(len(dataset))), config, rng, paste)
            image, target = mix(image, target, *other, float(rng.beta(32.0, 32.0)))
    else:
        tile = letterboxed(dataset, index, size, paste)
        image, target = warp([tile], size, *random_matrix(rng, size, size, config), size)
    gains = hsv_gains(rng, config.hsv_h, config.hsv_s, config.hsv_v)
    if gains != (1.0, 1.0, 1.0):
        image = jitter_hsv(image, *gains)
    if rng.random() < config.flipud:
        image, target = image[::-1], Target(_mirror(target.boxes, 1, size), target.labels)
    if rng.random() < config.fliplr:
        image, target = image[:, ::-1], Target(_mirror(target.boxes, 0, size), target.labels)
    return image, target


def mosaic4(
    dataset: Dataset, index: int, config: TrainConfig, rng: np.random.Generator, paste: Paster | None = None
) -> tuple[np.ndarray, Target]:
    """Image `index` and three random ones around a random centre of a double-size canvas, then the random map."""
    size = config.imgsz
    xc, yc = (int(value) for value in rng.uniform(size / 2, 3 * size / 2, 2))
    indices = rng.permutation([index, *rng.integers(len(dataset), size=3)])
    tiles = [corner_tile(dataset, int(i), size, corner, xc, yc, paste) for corner, i in enumerate(indices)]
    return warp(tiles, 2 * size, *random_matrix(rng, 2 * size, size, config), size)


def corner_tile(
    dataset: Dataset, index: int, size: int, corner: int, xc: int, yc: int, paste: Paster | None = None
) -> Tile:
    """Image `index` touching the point (xc, yc) from the top left, top right, bottom left or bottom right (0..3)."""
    pixels, target = _filled(dataset, index, size, paste)
    height, width = pixels.shape[:2]
    left = xc - width if corner in (0, 2) else xc
    top = yc - height if corner in (0, 1) else yc
    return Tile(pixels, left, top, target)


def letterboxed(dataset: Dataset, index: int, size: int, paste: Paster | None = None) -> Tile:
    """Image `index` in the middle of a (size, size) canvas."""
    pixels, target = _filled(dataset, index, size, paste)
    box = letterbox(*dataset.size(index), size)
    return Tile(pixels, box.left, box.top, target)


def _filled(dataset: Dataset, index: int, size: int, paste: Paster | None) -> tuple[np.ndarray, Target]:
    """The scaled image, with what `paste` adds to it."""
    pixels, target = scaled(dataset, index, size)
    return paste(pixels, target) if paste else (pixels, target)


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
