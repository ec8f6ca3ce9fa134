"""Detection in images that are much larger than what a network looks at: tile by tile, then put together."""

from __future__ import annotations

import numpy as np

from yolo_ft.core.targets import Detections
from yolo_ft.data.formats.tiles import merge_tiles, tile_grid
from yolo_ft.finetune.compute import Compute
from yolo_ft.finetune.evaluation import detect_images
from yolo_ft.models import Detector

STRIDE = 32  # what the networks want the side of their input to be a multiple of


def detect_tiled(
    model: Detector,
    image: np.ndarray,
    size: int = 640,
    overlap: float = 0.2,
    imgsz: int | None = None,
    confidence: float = 0.25,
    iou: float | None = None,
    compute: Compute | None = None,
    end_to_end: bool = False,
) -> Detections:
    """Detections in one uint8 (h, w, 3) RGB image, found in tiles of `size` px (`tile_grid`) and merged.

    Boxes are xyxy in pixels of the whole image. Each tile is seen at `imgsz`, without it at its own size, so that small
    objects keep their pixels. Objects larger than the overlap can be found in parts (see `merge_tiles`). Lesson 06.
    """
    tiles = tile_grid(*image.shape[:2], size, overlap)
    seen_at = -(-size // STRIDE) * STRIDE if imgsz is None else imgsz
    iou = model.predict_iou if iou is None else iou
    found = detect_images(model, [tile.cut(image) for tile in tiles], seen_at, confidence, iou, compute, end_to_end)
    return merge_tiles(tiles, found, iou)
