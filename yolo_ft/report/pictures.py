"""Pictures of the lessons: boxes on images, filters and feature maps as tiles. Data in, matplotlib Figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from yolo_ft.core.targets import Detections, Target
from yolo_ft.report.plots import BLUE, FONT, VERMILLION

CROWDED = 12  # boxes in a picture beyond which their names are written smaller
HEAPED = 30  # boxes beyond which there are no names: they would hide the picture
MARGIN = 0.06  # of the image's height: the room that a name takes
HALO = [withStroke(linewidth=3.5, foreground="white")]  # lines stay visible on any image
Panel = tuple[str, np.ndarray, Target | None, Detections | None]


def draw_boxes(
    image: np.ndarray,
    truth: Target | None = None,
    detections: Detections | None = None,
    names: Mapping[int, str] | None = None,
    title: str = "",
) -> Figure:
    """One image, (h, w, 3) uint8, with its truth (blue, solid) and detections (vermillion, dashed)."""
    return draw_panels([(title, image, truth, detections)], names)


def draw_panels(
    panels: Sequence[Panel],
    names: Mapping[int, str] | None = None,
    columns: int = 2,
    truth_names: Mapping[int, str] | None = None,
) -> Figure:
    """Several images side by side, each (title, image, truth, detections); boxes are xyxy in pixels of the image.

    Truth is drawn blue and solid, detections vermillion and dashed with their score; `names` adds class names, and
    `truth_names` those of the truth where the detector has other classes. Beyond 30 boxes an image has boxes only.
    """
    truth_names = truth_names or names
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    height, width = panels[0][1].shape[:2]
    side = 10 / columns if columns > 1 else 7
    figure = Figure(figsize=(side * columns, rows * (side * height / width + 0.4)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        _bare(ax)
    for ax, (title, image, truth, detections) in zip(axes.flat, panels, strict=False):
        ax.imshow(image)
        ax.set_title(title, fontsize=FONT + 1)
        count = len(truth or ()) + len(detections or ())
        size = 0 if count > HEAPED else FONT - 3 if count > CROWDED else FONT
        if truth is not None:
            for box, index in zip(truth.boxes, truth.labels, strict=True):
                _box(ax, box, BLUE, "-", _name(index, truth_names), size, above=False)
        if detections is not None:
            for k, (box, index) in enumerate(zip(detections.boxes, detections.labels, strict=True)):
                near = np.abs(detections.boxes[:k, :2] - box[:2]) < MARGIN * len(image)
                above = truth is not None or not near.all(1).any()  # the place above may have its name already
                text = f"{_name(index, names)} {detections.scores[k]:.2f}".strip()
                _box(ax, box, VERMILLION, "--", text, size, above)
    return figure


def _bare(ax: Axes) -> None:
    """No ticks and no frame: pixels count from the corner, and nobody reads them off."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _name(index: int, names: Mapping[int, str] | None) -> str:
    return "" if names is None else names.get(int(index), f"class {int(index)}")


def _box(ax: Axes, box: np.ndarray, color: str, style: str, text: str, size: float, above: bool) -> None:
    """One rectangle; truth is written below its box and detections above, so that a matched pair stays readable.

    A name that would stand outside the image is written inside its box, one of `size` 0 not at all.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    patch = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=2, linestyle=style)
    patch.set_path_effects(HALO)
    ax.add_patch(patch)
    if size:
        bottom, top = ax.get_ylim()  # rows count downwards
        y, room = (y1, y1 - top) if above else (y2, bottom - y2)
        inside = room < MARGIN * bottom
        place = {"xy": (x1, min(max(y, top), bottom)), "va": "bottom" if above != inside else "top", "ha": "left"}
        ax.annotate(text, fontsize=size, color=color, path_effects=HALO, annotation_clip=True, **place)


def tile_grid(groups: Mapping[str, np.ndarray], columns: int = 8, color_map: str = "gray") -> Figure:
    """Small pictures in labelled blocks, one under the other: {title: (n, h, w) or (n, h, w, 3)}.

    Each tile is stretched to its own range of values, because only patterns are compared, not magnitudes.
    """
    rows = [-(-len(tiles) // columns) for tiles in groups.values()]
    side = 9 / columns
    figure = Figure(figsize=(9, sum(count * side + 0.45 for count in rows)), layout="constrained")
    blocks = np.atleast_1d(figure.subfigures(len(groups), 1, height_ratios=[count + 0.4 for count in rows]))
    for block, count, (title, tiles) in zip(blocks, rows, groups.items(), strict=True):
        block.suptitle(title, fontsize=FONT + 1)
        axes = block.subplots(count, columns, squeeze=False)
        for ax in axes.flat:
            _bare(ax)
        for ax, tile in zip(axes.flat, tiles, strict=False):
            ax.imshow(stretch(tile), cmap=color_map, vmin=0, vmax=1, interpolation="nearest")
    return figure


def stretch(tile: np.ndarray) -> np.ndarray:
    """A tile scaled to [0, 1]; a constant tile becomes 0.5 everywhere."""
    tile = np.asarray(tile, np.float64)
    low, high = tile.min(), tile.max()
    return np.full(tile.shape, 0.5) if high == low else (tile - low) / (high - low)
