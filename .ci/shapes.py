"""Write a tiny YOLO data set with two classes, for a second look at lessons whose stored outputs come from three."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("square", "disc")


def draw(rng: np.random.Generator, side: int = 96) -> tuple[Image.Image, list[str]]:
    """One image with up to three shapes, and its label lines (class, centre and size as shares of the image)."""
    image = Image.new("RGB", (side, side * 3 // 4), tuple(int(v) for v in rng.integers(150, 256, 3)))
    lines = []
    for _ in range(rng.integers(1, 4)):
        index, (w, h) = int(rng.integers(2)), rng.integers(14, 30, 2)
        x, y = rng.integers(0, image.width - w), rng.integers(0, image.height - h)
        shape = (ImageDraw.Draw(image).rectangle, ImageDraw.Draw(image).ellipse)[index]
        shape((int(x), int(y), int(x + w), int(y + h)), fill=tuple(int(v) for v in rng.integers(0, 110, 3)))
        cx, cy = (x + w / 2) / image.width, (y + h / 2) / image.height
        lines.append(f"{index} {cx:.6f} {cy:.6f} {w / image.width:.6f} {h / image.height:.6f}")
    return image, lines


def main(root: Path) -> None:
    """Write train and val folders and data.yaml below `root`."""
    rng = np.random.default_rng(7)
    for split, count in (("train", 12), ("val", 6)):
        images, labels = root / "images" / split, root / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for number in range(count):
            image, lines = draw(rng)
            image.save(images / f"{number:03d}.png")
            (labels / f"{number:03d}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(NAMES))
    (root / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames:\n{names}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
