"""A data set of large images cut into tiles with their boxes: `tile(data, out, size)`."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from yolo_ft.core.cores import reading_threads
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.conversion.whole_set import (
    file_names,
    left_out,
    losses,
    lost_marks,
    read_records,
    source_folders,
)
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.folders import free_place, new_folder
from yolo_ft.data.formats.records import Record
from yolo_ft.data.formats.tiles import Tile, tile_grid
from yolo_ft.data.formats.writers import FORMATS, write_yolo
from yolo_ft.data.health import DROPPED, HealthReport, Issue
from yolo_ft.data.images import ImageError, read_image
from yolo_ft.data.progress import progress


@dataclass
class Tiling:
    """What `tile` did. `images`, `tiles`, `boxes`: per split. `cut`: boxes kept in part; `dropped`: parts left out.

    `unseen`: objects that no tile shows enough of. `lost`: {what YOLO cannot hold: how often}. `health`: the findings
    per split.
    """

    out: Path
    images: dict[str, int] = field(default_factory=dict)
    tiles: dict[str, int] = field(default_factory=dict)
    boxes: dict[str, int] = field(default_factory=dict)
    cut: int = 0
    dropped: int = 0
    unseen: int = 0
    lost: dict[str, int] = field(default_factory=dict)
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
        return "\n".join([text, *losses(self.lost, "yolo"), *left_out(self.health)])


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
    where each tile lies. An image that cannot be decoded is left out and named. Raises `UserError` when `out` exists,
    and when no image can be decoded. Lesson 06.
    """
    if not 0 < min_visible <= 1:
        raise UserError(f"min_visible is {min_visible:g}, but it is a share of a box: choose more than 0, at most 1.")
    tile_grid(size, size, size, overlap)  # this line and the next two complain before any image is read
    kept = source_folders(data, images)
    free_place(out, kept)
    names, splits, health = read_records(data, images, origin)
    report = Tiling(Path(out).expanduser(), health=health)
    stems = {i: Path(name).stem for i, name in file_names(r for rows in splits.values() for r in rows).items()}
    with new_folder(out, kept) as folder:
        written: dict[str, list[Record]] = {}
        table = [("tile", "split", "image", "left", "top", "right", "bottom")]
        read: list[Record] = []
        for split, records in splits.items():
            place = folder / "images" / split
            place.mkdir(parents=True)
            grids = [tile_grid(*record.size, size, overlap) for record in records]
            with ThreadPoolExecutor(reading_threads()) as pool:  # map: what waits is cancelled when one fails
                cut = pool.map(partial(_write, place), records, grids, [stems[id(record)] for record in records])
                files = list(progress(cut, len(records), f"cutting {split}"))
            unread = [each for each in files if isinstance(each, Issue)]
            report.health[split] = replace(health[split], issues=[*health[split].issues, *unread])
            written[split] = []
            for record, grid, paths in zip(records, grids, files, strict=True):
                if isinstance(paths, Issue):
                    continue
                read.append(record)
                written[split] += _labelled(record, grid, paths, min_visible, report)
                places = [(each.left, each.top, each.right, each.bottom) for each in grid]
                table += [(path.name, split, record.key, *at) for path, at in zip(paths, places, strict=True)]
            report.images[split], report.tiles[split] = len(records) - len(unread), len(written[split])
            report.boxes[split] = sum(len(record.target) for record in written[split])
        if not read:
            raise UserError("No image can be decoded: " + " ".join(left_out(report.health)).strip())
        report.lost = lost_marks(read, FORMATS["yolo"])
        write_yolo(folder, names, written)
        with (folder / "tiles.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    return report


def _write(place: Path, record: Record, grid: list[Tile], stem: str) -> list[Path] | Issue:
    """Write the tiles of one image; their files, or why it cannot be decoded, which the scan does not find always."""
    try:
        pixels = read_image(record.image) if isinstance(record.image, Path) else record.image
    except ImageError as error:
        return Issue(record.key, None, error.reason, DROPPED)
    paths = [place / f"{stem}__x{each.left}_y{each.top}.png" for each in grid]
    for each, path in zip(grid, paths, strict=True):
        Image.fromarray(np.ascontiguousarray(each.cut(pixels))).save(path, compress_level=1)
    return paths


def _labelled(record: Record, grid: list[Tile], paths: list[Path], min_visible: float, report: Tiling) -> list[Record]:
    """The records of an image's tiles; what is cut, dropped or in no tile is counted in `report`."""
    objects, tiles = record.objects(), []
    seen = np.zeros(len(objects), bool)
    for each, path in zip(grid, paths, strict=True):
        boxes, share = each.visible(objects.boxes)
        kept = share >= min_visible
        seen |= kept
        report.cut += int((kept & (share < 1)).sum())
        report.dropped += int(((share > 0) & ~kept).sum())
        target = Target(boxes[kept], objects.labels[kept])
        size = (each.bottom - each.top, each.right - each.left)
        tiles.append(Record(path.name, path, size, target, (frozenset(),) * len(target)))
    report.unseen += int((~seen).sum())
    return tiles
