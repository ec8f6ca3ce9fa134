"""A data set of large images cut into tiles with their boxes: `tile(data, out, size)`."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.folders import new_folder
from yolo_ft.data.health import HealthReport
from yolo_ft.data.images import read_image
from yolo_ft.data.records import Record
from yolo_ft.data.scan import threads
from yolo_ft.data.tiles import Tile, tile_grid
from yolo_ft.data.whole_set import file_names, read_records, source_folder
from yolo_ft.data.writers import write_yolo


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
