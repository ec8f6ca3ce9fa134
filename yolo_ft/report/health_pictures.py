"""The findings of a data check as something to look at: contact sheets, a page and a JSON file. Lesson 06."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from yolo_ft.data.checks.findings import CheckReport, Finding, Kind, Place
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.files import write_json_atomic, write_text_atomic
from yolo_ft.data.folders import new_folder
from yolo_ft.report.lessons import png
from yolo_ft.report.letters import drawable, plain
from yolo_ft.report.pictures import HALO
from yolo_ft.report.plots import BLUE, FONT, VERMILLION

COLUMNS = 4
TILES = 12  # on a sheet, of the findings that come first; the page lists all
WIDTH = 40  # characters above a tile
PIXELS = 480  # long side of a drawn image
CONTEXT = 4  # a small box is shown with so many times its size around it
NEAREST = 64  # pixels of the image that a tile shows at least


def write_check(report: CheckReport, out: str | Path) -> list[Path]:
    """Write `report.json`, `report.md` and a contact sheet per kind of finding to the new folder `out`.

    Returns the files. Raises `UserError` when the folder holds something already or lies inside the data set.
    """
    pictures = {}
    with new_folder(out, _image_roots(report.splits)) as folder:
        for kind, cases in report.found():
            if any(case.place for case in cases):
                name = f"{kind.name.replace(' ', '_').replace(',', '')}.png"
                (folder / name).write_bytes(png(contact_sheet(report, kind)))
                pictures[kind.name] = [name]
        write_text_atomic(folder / "report.md", report.markdown(pictures))
        write_json_atomic(folder / "report.json", report.as_dict())
    names = ["report.md", "report.json", *(name for [name] in pictures.values())]
    return [Path(out).expanduser() / name for name in names]


def _image_roots(splits: dict[str, Dataset]) -> set[Path]:
    """The folders that hold the images of a data set: what its keys are relative to, or an image's own folder."""
    roots = set()
    for dataset in splits.values():
        for path, key in zip(map(dataset.path, range(len(dataset))), dataset.keys, strict=True):
            if path is not None:
                below = path.as_posix().endswith(f"/{key}")
                roots.add(path.parents[key.count("/")] if below else path.parent)
    return roots


def contact_sheet(report: CheckReport, kind: Kind) -> Figure:
    """Up to `TILES` images of one kind of finding: all labels thin and blue, the boxes in question thick and dashed.

    Two images that belong together stand side by side. Where the boxes in question are small, only their surroundings
    are shown, of two images the same part. An image appears once, with its first finding.
    """
    first: dict[Place, Finding] = {}
    for case in report.of(kind):
        if case.place:
            first.setdefault(case.place, case)
    cases = list(first.values())
    tiles: list[Tile] = []
    for case in cases[: TILES // 2 if cases[0].twin else TILES]:
        tiles += _tiles(report, case)
    columns = min(COLUMNS, max(2, len(tiles)))
    rows = -(-len(tiles) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.7 * rows + 0.5), layout="constrained")
    figure.suptitle(f"{kind.level}: {kind.name} ({len(report.of(kind))} found)", fontsize=FONT + 2)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
        ax.set_anchor("NW")
    for ax, (place, boxes, around, text) in zip(axes.flat, tiles, strict=False):
        _draw(ax, report, place, boxes, around)
        ax.set_title(text, fontsize=FONT, loc="left")
    return plain(figure)


# the image, the boxes in question, those whose surroundings to show, the words above it
Tile = tuple[Place, Sequence[Sequence[float]], np.ndarray, str]


def _tiles(report: CheckReport, case: Finding) -> list[Tile]:
    """The one or two images of a finding."""
    reason = drawable(case.reason).replace("/", "/ ")
    words = textwrap.shorten(reason, 2 * WIDTH - 4, placeholder=" ...").replace("/ ", "/")
    reason = "\n".join(textwrap.wrap(words, WIDTH, max_lines=2, placeholder=" ..."))
    shown = [(case.place, case.boxes, reason)]
    if case.twin is not None:
        shown.append((case.twin, case.twin_boxes, "and its twin"))
    limits = [np.tile(report.splits[split].size(index)[::-1], 2) for (split, index), *_ in shown]
    shares = [np.reshape(boxes, (-1, 4)) / limit for (_, boxes, _), limit in zip(shown, limits, strict=True)]
    return [
        (place, boxes, np.concatenate(shares) * limit, f"{_name(report, place)}\n{words}")
        for (place, boxes, words), limit in zip(shown, limits, strict=True)
    ]


def _name(report: CheckReport, place: Place) -> str:
    """The split and the file of an image, cut in the middle to fit above a tile."""
    split, index = place
    name = drawable(report.splits[split].keys[index].rpartition("/")[2])
    room = WIDTH - len(split) - 2
    return f"{split}: {name if len(name) <= room else f'{name[: room - 11]}...{name[-8:]}'}"


def _draw(ax: Axes, report: CheckReport, place: Place, boxes: Sequence[Sequence[float]], around: np.ndarray) -> None:
    """One image, or the part of it around the boxes `around`, (n, 4)."""
    split, index = place
    dataset = report.splits[split]
    height, width = dataset.size(index)
    gain = min(1, PIXELS / max(height, width))
    ax.imshow(dataset.resized(index, round(max(height, width) * gain)), extent=(0, width, height, 0))
    for box in dataset.target(index).boxes:
        _box(ax, box, color=BLUE, linewidth=1.2)
    for box in boxes:
        _box(ax, box, color=VERMILLION, linewidth=2.5, linestyle="--").set_path_effects(HALO)
    x1, y1, x2, y2 = _view(around, width, height)
    ax.set(xlim=(x1, x2), ylim=(y2, y1), aspect="equal")


def _box(ax: Axes, box: Sequence[float], **style: object) -> Rectangle:
    x1, y1, x2, y2 = (float(value) for value in box)
    return ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **style))


def _view(boxes: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    """The part of an image to show, xyxy: all of it, unless the boxes in question take little of it."""
    if not len(boxes):
        return 0, 0, width, height
    (x1, y1), (x2, y2) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = max(CONTEXT * max(x2 - x1, y2 - y1), NEAREST)
    if side >= max(width, height) or max(x2 - x1, y2 - y1) > min(width, height):
        return min(x1, 0), min(y1, 0), max(x2, width), max(y2, height)
    side = min(side, width, height)
    x = min(max((x1 + x2 - side) / 2, 0), width - side)
    y = min(max((y1 + y2 - side) / 2, 0), height - side)
    return x, y, x + side, y + side
