"""Detection in tiles: every tile is seen at its own size and boxes come back to the image."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_ft.api import YOLO
from yolo_ft.core.targets import Detections
from yolo_ft.finetune import tiled


@pytest.fixture
def seen(monkeypatch):
    """What the detector was asked; it finds one box in every tile, at the brightest pixel."""
    asked = []

    def fake(model, images, imgsz, confidence, iou, compute, end_to_end):
        asked.append((len(images), imgsz, confidence, iou, compute, end_to_end))
        spots = [np.argwhere(image[..., 0] == 255) for image in images]
        return [
            Detections([[x - 4, y - 4, x + 4, y + 4]], [0.7], [0]) if len(spot) else Detections()
            for spot in spots
            for y, x in [spot[0] if len(spot) else (0, 0)]
        ]

    monkeypatch.setattr(tiled, "detect_images", fake)
    return asked


def test_a_point_is_found_where_it_lies(seen):
    image = np.zeros((100, 300, 3), np.uint8)
    image[40, 130] = 255
    model = YOLO().model
    found = tiled.detect_tiled(model, image, size=100, overlap=0.25)
    np.testing.assert_array_equal(found.boxes, [[126, 36, 134, 44]])
    assert seen == [(4, 128, 0.25, model.predict_iou, None, False)]  # 100 px, rounded up to what the network takes


def test_predict_hands_its_settings_on(seen):
    image = np.zeros((64, 90, 3), np.uint8)
    found = YOLO().predict([image, image], conf=0.4, iou=0.6, tile=64, overlap=0.5)
    assert [len(each) for each in found] == [0, 0]
    assert seen == [(2, 64, 0.4, 0.6, None, False)] * 2
    YOLO().predict(image, tile=64, imgsz=96)
    assert seen[-1][:2] == (2, 96)


def test_one_tile_is_the_image_itself():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    model = YOLO()
    plain, cut = model.predict(image, conf=0.001, imgsz=64)[0], model.predict(image, conf=0.001, tile=64)[0]
    assert len(plain) > 0
    np.testing.assert_array_equal(plain.boxes, cut.boxes)
    np.testing.assert_array_equal(plain.scores, cut.scores)
