"""Large images in tiles: cut with their boxes for training, and put together again for predicting. Lesson 06."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Detections, Target
from yolo_ft.data.convert import file_names, read_records, source_folder
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.folders import new_folder
from yolo_ft.data.health import HealthReport
from yolo_ft.data.images import read_image
from yolo_ft.data.records import Record
from yolo_ft.data.scan import threads
from yolo_ft.data.writers import write_yolo

SEAM = 2.0  # px: a box that ends so close to the inner edge of a tile was probably cut there
PART = 0.5  # share of a cut box that must lie in a box from another tile to be taken for a part of it


@dataclass(frozen=True)
class Tile:
    """A window into an image: its corners in pixels of the image, which is `image_height` x `image_width`."""

    left: int
    top: int
    right: int
    bottom: int
    image_height: int
    image_width: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The tile's pixels of an image (h, w, 3)."""
        return image[self.top : self.bottom, self.left : self.right]

    def visible(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 4) xyxy in the image -> their parts in the tile, xyxy in pixels of the tile, and shares of area (n,)."""
        inside = np.clip(boxes, [self.left, self.top] * 2, [self.right, self.bottom] * 2)
        share = _area(inside) / np.maximum(_area(boxes), np.finfo(np.float32).tiny)
        return inside - np.array([self.left, self.top] * 2, np.float32), share

    def seams(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) xyxy in pixels of the tile -> which end at an edge behind which the image goes on, (n,) booleans."""
        width, height = self.right - self.left, self.bottom - self.top
        inner = np.array([self.left, self.top, self.image_width - self.right, self.image_height - self.bottom]) > 0
        gaps = np.abs(boxes - np.array([0, 0, width, height], np.float32))
        return ((gaps < SEAM) & inner).any(1)


@dataclass
class Tiling:
    """What `tile` did. `images`, `tiles`, `boxes`: per split. `cut`: boxes kept in part; `dropped`: parts left out."""

    out: Path
    images: dict[str, int] = field(default_factory=dict)
    tiles: dict[str, int] = field(default_factory=dict)
    boxes: dict[str, int] = field(default_factory=dict)
    cut: int = 0
    dropped: int = 0
    unseen: int = 0
    health: dict[str, HealthReport] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [
            f"{name} {number} images in {self.tiles[name]} tiles, {self.boxes[name]} boxes"
            for name, number in self.images.items()
        ]
        text = f"{self.out}: {'; '.join(parts)}\n  {self.cut} boxes are cut at a tile's edge, {self.dropped} parts "
        text += "were too small to keep"
        if self.unseen:
            text += f"\n  {self.unseen} objects are in no tile: make --overlap larger than the objects"
        return text


def tile_grid(height: int, width: int, size: int, overlap: float = 0.2) -> list[Tile]:
    """Tiles of `size` x `size` px that cover an image, row by row, each inside the image, evenly spaced.

    Neighbours share at least `overlap` of a tile's side. Where the image is smaller than a tile, the tile is as small
    as the image.
    """
    if size < 32:
        raise UserError(f"tiles of {size} px are too small: choose a size of at least 32.")
    if not 0 <= overlap < 1:
        raise UserError(f"overlap is {overlap:g}, but it is a share of the tile: choose 0 or more, below 1.")
    rows, columns = _starts(height, size, overlap), _starts(width, size, overlap)
    return [
        Tile(left, top, min(left + size, width), min(top + size, height), height, width)
        for top in rows
        for left in columns
    ]


def tile(
    data: str | Path | Dataset,
    out: str | Path,
    size: int = 640,
    overlap: float = 0.2,
    min_visible: float = 0.25,
    images: str | Path | None = None,
    origin: int = 1,
) -> Tiling:
    """Cut every image of `data` (as for `load_dataset`) into tiles (`tile_grid`), into the new YOLO folder `out`.

    All tiles of an image stay in its split. A box is cut at the tile's edge and kept where at least `min_visible` of
    its area is in the tile; a smaller part stays in the picture without a box, so choose an overlap larger than most
    objects: each is then whole in some tile. Tiles are PNG: pixels are not compressed a second time. `tiles.csv` says
    where each tile lies. Raises `UserError` when `out` exists. Lesson 06.
    """
    if not 0 < min_visible <= 1:
        raise UserError(f"min_visible is {min_visible:g}, but it is a share of a box: choose more than 0, at most 1.")
    tile_grid(size, size, size, overlap)  # complains before anything is read
    names, splits, health = read_records(data, images, origin)
    report = Tiling(Path(out).expanduser(), health=health)
    stems = {i: Path(name).stem for i, name in file_names(r for rows in splits.values() for r in rows).items()}
    with new_folder(out, source_folder(data)) as folder:
        written: dict[str, list[Record]] = {}
        table = [("split", "tile", "image", "left", "top", "right", "bottom")]
        for split, records in splits.items():
            place = folder / "images" / split
            place.mkdir(parents=True)
            with ThreadPoolExecutor(threads()) as pool:
                jobs = [
                    pool.submit(_cut_image, r, tile_grid(*r.size, size, overlap), place, stems[id(r)]) for r in records
                ]
                cuts = [job.result() for job in jobs]
            written[split] = [_labelled(each, min_visible, report) for tiles in cuts for each in tiles]
            report.unseen += sum(_unseen(tiles, min_visible) for tiles in cuts)
            for record, tiles in zip(records, cuts, strict=True):
                table += [(split, path.name, record.key, t.left, t.top, t.right, t.bottom) for path, t, _ in tiles]
            report.images[split], report.tiles[split] = len(records), len(written[split])
            report.boxes[split] = sum(len(record.target) for record in written[split])
        write_yolo(folder, names, written)
        with (folder / "tiles.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    return report


def merge_tiles(tiles: Sequence[Tile], found: Sequence[Detections], iou: float = 0.45) -> Detections:
    """Detections in tiles of one image -> detections in the image, each object once, best first.

    `found`: per tile, boxes xyxy in pixels of the tile. What one tile found stays as it is; between tiles, boxes of
    one class that overlap by more than `iou` are the same object, and the better score stays. A box that ends at an
    inner edge of its tile is a part of an object if at least half of it lies in a box that another tile saw better; the
    part goes. An object larger than the overlap of the tiles is whole in none of them and can stay in parts.
    """
    offsets = [np.array([tile.left, tile.top] * 2, np.float32) for tile in tiles]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(f.boxes + o for f, o in zip(found, offsets, strict=True))])
    scores = np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)])
    labels = np.concatenate([np.zeros(0, np.int64), *(each.labels for each in found)])
    cut = np.concatenate([np.zeros(0, bool), *(t.seams(f.boxes) for t, f in zip(tiles, found, strict=True))])
    owners = np.repeat(np.arange(len(tiles)), [len(each) for each in found])
    area, alive, kept = _area(boxes), np.ones(len(boxes), bool), []
    order = np.lexsort((-scores, -area * cut, cut))  # whole boxes by score, then cut ones by size
    for position, i in enumerate(order):
        if not alive[i]:
            continue
        kept.append(i)
        rest = order[position + 1 :]
        corners = [np.maximum(boxes[rest, :2], boxes[i, :2]), np.minimum(boxes[rest, 2:], boxes[i, 2:])]
        shared = _area(np.concatenate(corners, 1))
        doubled = shared > iou * (area[rest] + area[i] - shared)
        part = cut[rest] & (shared >= PART * area[rest])
        same = (labels[rest] == labels[i]) & (owners[rest] != owners[i])
        alive[rest[same & (doubled | part)]] = False
    merged = Detections(boxes[kept], scores[kept], labels[kept])
    return merged.keep(np.argsort(-merged.scores, kind="stable"))


def _starts(length: int, size: int, overlap: float) -> list[int]:
    """Where the tiles of one direction begin."""
    if length <= size:
        return [0]
    step = max(1.0, size * (1 - overlap))
    count = math.ceil((length - size) / step - 1e-9) + 1
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


Cut = tuple[Path, Tile, Record]


def _cut_image(record: Record, tiles: list[Tile], place: Path, stem: str) -> list[Cut]:
    """Write the tiles of one image; (file, tile, record of the whole image) of each."""
    pixels = read_image(record.image) if isinstance(record.image, Path) else record.image
    written = []
    for each in tiles:
        path = place / f"{stem}__x{each.left}_y{each.top}.png"
        Image.fromarray(np.ascontiguousarray(each.cut(pixels))).save(path, compress_level=1)
        written.append((path, each, record))
    return written


def _labelled(cut: Cut, min_visible: float, report: Tiling) -> Record:
    """The record of one tile; what is cut and what is dropped is counted in `report`."""
    path, each, record = cut
    objects = record.objects()
    boxes, share = each.visible(objects.boxes)
    kept = share >= min_visible
    report.cut += int((kept & (share < 1)).sum())
    report.dropped += int(((share > 0) & ~kept).sum())
    target = Target(boxes[kept], objects.labels[kept])
    size = (each.bottom - each.top, each.right - each.left)
    return Record(path.name, path, size, target, (frozenset(),) * len(target))


def _unseen(tiles: list[Cut], min_visible: float) -> int:
    """How many objects of one image have a box in none of its tiles."""
    objects = tiles[0][2].objects()
    best = np.max([each.visible(objects.boxes)[1] for _, each, _ in tiles], axis=0)
    return int((best < min_visible).sum())


def _area(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) xyxy -> (n,), 0 where the corners are crossed."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
