"""A nine-image data set and the smallest training that exercises everything."""

import numpy as np
import pytest
from PIL import Image

from yolo_ft.api import YOLO


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory):
    """A YOLO folder: 9 training and 3 validation images, 96 x 64 px, bright and dark squares on noise."""
    root = tmp_path_factory.mktemp("tiny set")
    rng = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 3)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(90, 140, (64, 96, 3), dtype=np.uint8)
            rows = []
            for label, shade in ((0, 250), (1, 10)):
                x, y = rng.integers(0, 60), rng.integers(0, 36)
                image[y : y + 24, x : x + 32] = shade
                rows.append(f"{label} {(x + 16) / 96:.6f} {(y + 12) / 64:.6f} {32 / 96:.6f} {24 / 64:.6f}")
            Image.fromarray(image).save(root / "images" / split / f"{i}.png")
            (root / "labels" / split / f"{i}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [bright, dark]\n", encoding="utf-8")
    return root


def train(data, project, model=None, listeners=(), **settings):
    """(YOLO, Run) after three epochs of a random yolov5n at 64 px in batches of 4, or as `settings` say."""
    defaults = {"epochs": 3, "imgsz": 64, "batch": 4, "precision": "fp32", "workers": 0, "name": "run"}
    model = model or YOLO("yolov5n.yaml", seed=settings.get("seed", 0))
    model.model.pretrained = True  # what is frozen here is not the point
    run = model.train(data=data, project=str(project), listeners=listeners, **{**defaults, **settings})
    return model, run
