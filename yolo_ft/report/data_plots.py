"""Figures of a data set: overview, samples, what occurs with what, the gap to the source. Data in, Figure out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import Dataset, load_splits
from yolo_ft.data.images import ImageError
from yolo_ft.data.splits.partition import stratified_order
from yolo_ft.data.statistics.distributions import (
    ASPECT,
    BINS,
    COLOURS,
    EDGES,
    LAYOUT,
    LOOK,
    OBJECTS,
    SIZE,
    Profile,
    profile,
)
from yolo_ft.data.statistics.domain_gap import DomainGap
from yolo_ft.data.statistics.source import packaged_source
from yolo_ft.data.statistics.stats import ALL, LEVELS, Statistics
from yolo_ft.report.letters import drawable, plain
from yolo_ft.report.pictures import HALO
from yolo_ft.report.plots import (
    BLACK,
    BLUE,
    COLORS,
    FONT,
    HATCHES,
    MARKERS,
    STYLES,
    VERMILLION,
    canvas,
    draw_lines,
    label,
    mark_guess,
)

CLASSES_SHOWN = 12  # rows of a chart that stay readable
NAME_LENGTH = 16  # letters of a class name in a chart
SAMPLE_SIDE = 480  # pixels of the long side of a sample
OTHER = (COLORS[6], STYLES[6])  # classes beyond the six that a sheet tells apart
MAP = "cividis"  # readable with every kind of colour vision, and in grey


def overview(statistics: Statistics, source: Profile | None = None) -> Figure:
    """One page: objects per class and per image, sizes, shapes, positions and colours, beside those of the source.

    `source`: default the packaged one. Lesson 06.
    """
    source = packaged_source().profile if source is None else source
    own = profile(statistics)
    figure, axes = canvas(13, 7.6, 2, 3)
    (classes, counts, sizes), (shapes, places, colours) = axes
    _class_bars(classes, statistics)
    _steps(counts, own, source, OBJECTS, "objects in an image")
    _steps(sizes, own, source, SIZE, "")
    for pixels in (32, 96):
        sizes.axvline(pixels / statistics.imgsz, color=BLACK, linewidth=1.5, linestyle=":")
    sizes.set_xlabel(f"√area / long side (dotted: 32, 96 px at {statistics.imgsz})", fontsize=FONT)
    _steps(shapes, own, source, ASPECT, "width / height")
    heat = places.imshow(statistics.positions, cmap=MAP, extent=(0, 1, 1, 0), vmin=0)
    places.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    label(places, "centre, share of the width", "share of the height", "positions")
    figure.colorbar(heat, ax=places, label="objects").ax.tick_params(labelsize=FONT)
    figure.axes[-1].yaxis.label.set_fontsize(FONT)
    _colour_strips(colours, {"yours": own, "source": source})
    lines = [Line2D([], [], color=BLUE, linewidth=2.5), Line2D([], [], color=VERMILLION, linewidth=2, linestyle="--")]
    names = [f"{drawable(part.name)}: {part.images:,} images" for part in (own, source)]
    figure.legend(lines, names, loc="outside upper center", ncols=2, fontsize=FONT)
    return plain(figure)


def contact_sheet(
    data: str | Path | Dataset, split: str | None = None, count: int = 12, columns: int = 4, seed: int = 0
) -> Figure:
    """`count` images of a split (default: the first that has any) that together look like all of it, with boxes.

    The six most frequent classes of the sheet have a colour and a line style each, all others share black; below every
    image stand its classes. The same `seed` draws the same images. Raises UserError for an unknown split. Lesson 06.
    """
    splits = load_splits(data)
    split = max(splits, key=lambda name: len(splits[name]) > 0) if split is None else split
    if split not in splits:
        raise UserError(f"There is no split '{split}': choose one of {', '.join(splits)}.")
    dataset = splits[split]
    picked = stratified_order(dataset, seed)[:count].tolist()
    shown = Counter(label for i in picked for label in dataset.target(i).labels.tolist())
    looks = {index: (COLORS[k], STYLES[k]) for k, (index, _) in enumerate(shown.most_common(6))}
    columns = max(1, min(columns, len(picked)))
    rows = max(1, -(-len(picked) // columns))
    figure = Figure(figsize=(12, rows * (12 / columns * 0.85 + 0.3) + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for ax, i in zip(axes.flat, picked, strict=False):
        _sample(ax, dataset, i, looks)
    handles = [Line2D([], [], color=color, linestyle=style, linewidth=2) for color, style in looks.values()]
    names = [f"{_short(dataset.names[index])} ({shown[index]})" for index in looks]
    if len(shown) > len(looks):
        handles.append(Line2D([], [], color=OTHER[0], linestyle=OTHER[1], linewidth=2))
        names.append(f"{len(shown) - len(looks)} other classes")
    title = f"{drawable(dataset.name)}, {split}: {len(picked)} of {len(dataset)} images, seed {seed}"
    figure.suptitle(title, fontsize=FONT + 1)
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=FONT)
    return plain(figure)


def cooccurrence_chart(statistics: Statistics, classes: int = CLASSES_SHOWN) -> Figure:
    """Of the images that show the class of a row, how many per cent show that of the column, most frequent first."""
    table = statistics.cooccurrence
    frequent = np.argsort(-np.diag(table), kind="stable")[:classes]
    frequent = frequent[np.diag(table)[frequent] > 0]
    counts = table.to_numpy()[np.ix_(frequent, frequent)]
    shares = 100 * counts / np.maximum(1, np.diag(counts))[:, None]
    names = [_short(table.index[i]) for i in frequent]
    side = max(4.0, 2.2 + 0.55 * len(names))
    figure, axes = canvas(side + 1.5, side)
    ax = axes[0, 0]
    if not names:
        label(ax, title="no image shows an object")
        return figure
    heat = ax.imshow(shares, cmap=MAP, vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share < 55 else "black"
        ax.annotate(f"{share:.0f}", (column, row), ha="center", va="center", fontsize=FONT, color=color)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), [f"{n} ({c})" for n, c in zip(names, np.diag(counts), strict=True)])
    label(ax, "… also show", "images that show (how many)", "what occurs together (%)")
    figure.colorbar(heat, ax=ax).ax.tick_params(labelsize=FONT)
    return plain(figure)


def gap_chart(gap: DomainGap) -> Figure:
    """The distance of every distribution from the source, and up to where chance alone would explain it. Lesson 06."""
    figure, axes = canvas(9, 4.6)
    ax = axes[0, 0]
    table = gap.distances
    for k, (names, mean, title) in enumerate(((LAYOUT, gap.layout, "boxes"), (LOOK, gap.look, "pixels"))):
        known = f"{title}: gap {mean:.2f}" if np.isfinite(mean) else f"{title}: gap unknown"
        ax.barh(names, table.loc[list(names), "distance"], color=COLORS[k], hatch=HATCHES[k], label=known, alpha=0.9)
    noise = {"marker": "|", "markersize": 22, "markeredgewidth": 3, "color": BLACK, "linestyle": ""}
    ax.plot(table["noise"], table.index, label="95 % of random halves lie left of this", **noise)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    label(ax, "Jensen–Shannon distance (0 the same, 1 nothing shared)", "", f"{drawable(gap.name)} and {gap.source}")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=FONT)
    return plain(figure)


def floor_chart(floor: pd.DataFrame, title: str = "") -> Figure:
    """The distance that chance makes between two random parts of one set, by their size: `noise_floor`. Lesson 06."""
    figure, axes = canvas(10, 4.4, columns=2)
    for ax, names, kind in zip(axes[0], (LAYOUT, LOOK), ("boxes", "pixels"), strict=True):
        rows = {name: floor[floor["distribution"] == name] for name in names}
        draw_lines(ax, {name: (part["images"].tolist(), part["high"].tolist()) for name, part in rows.items()})
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.tick_params(which="minor", labelsize=FONT)
        ax.set_ylim(0, 1)
        label(ax, "images in each part", "distance, 95 % are below" if ax is axes[0, 0] else "", kind, "best")
    figure.suptitle(title, fontsize=FONT + 1)
    return figure


def spread_chart(
    values: Mapping[str, Sequence[float]], x: str = "", wanted: float | None = None, guess: float | None = None
) -> Figure:
    """One row of dots per entry of `values`, for what varies by chance; a dotted line at `wanted`.

    Rows alternate in colour and mark, so that pairs of rows compare; `guess` is the reader's, on the first. Lesson 06.
    """
    figure, axes = canvas(9, 1.2 + 0.42 * len(values))
    ax = axes[0, 0]
    for row, found in enumerate(values.values()):
        look = {"color": COLORS[row % 2], "marker": MARKERS[row % 2], "linestyle": ""}
        places = np.linspace(row - 0.25, row + 0.25, len(found))  # so that equal values lie side by side
        ax.plot(found, places, markersize=6, alpha=0.7, markeredgecolor="white", **look)
    if wanted is not None:
        ax.axvline(wanted, color=BLACK, linewidth=1.2, linestyle=":")
    mark_guess(ax, guess, 0)
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -0.5)
    label(ax, x)
    return figure


def _class_bars(ax: Axes, statistics: Statistics) -> None:
    """Objects of the most frequent classes, one part of the bar per split."""
    table = statistics.classes["objects"].unstack("split")[list(statistics.splits.index)]
    table = table.loc[list(statistics.names.values())].sort_values(ALL, ascending=False, kind="stable")
    first, start = table.head(CLASSES_SHOWN), 0
    for k, split in enumerate(column for column in table if column != ALL):
        look = {"color": COLORS[k], "hatch": HATCHES[k], "edgecolor": "white"}
        ax.barh(range(len(first)), first[split], left=start, label=split, **look)
        start = start + first[split].to_numpy()
    ax.set_yticks(range(len(first)), map(_short, first.index))  # two names may be cut to the same
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
    more = f", first {CLASSES_SHOWN} of {len(table)}" if len(table) > CLASSES_SHOWN else ""
    label(ax, "objects", "", f"classes{more}")
    if len(statistics.images):
        ax.legend(fontsize=FONT, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)


def _steps(ax: Axes, own: Profile, source: Profile, name: str, x: str) -> None:
    """One distribution as shares per bin, and the source's as a dashed line."""
    edges = EDGES[name]
    if name == OBJECTS:  # whole numbers, in wider and wider bins: evenly spaced, each with its range written below
        texts = [f"{a:g}" if b - a == 1 else f"{a:g}–{b - 1:g}" for a, b in zip(edges, edges[1:], strict=False)]
        ax.set_xticks(np.arange(len(texts)) + 0.5, [*texts[:-1], f"{edges[-2]:g}+"], rotation=45)
        edges = np.arange(len(edges))
    else:
        ax.set_xscale("log", base=2)
        ticks = 2.0 ** np.arange(-8, 4, 1 if name == ASPECT else 2)
        ticks = ticks[(ticks >= edges[0]) & (ticks <= edges[-1])]
        ax.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
    ax.stairs(100 * np.array(own.shares[name]), edges, fill=True, color=BLUE, alpha=0.3)
    ax.stairs(100 * np.array(own.shares[name]), edges, color=BLUE, linewidth=2.5)
    ax.stairs(100 * np.array(source.shares[name]), edges, color=VERMILLION, linewidth=2, linestyle="--")
    label(ax, x, "% of the images" if name == OBJECTS else "% of the objects", name)


def _colour_strips(ax: Axes, profiles: dict[str, Profile]) -> None:
    """The colours of all pixels, dark to light, each as wide as its share."""
    grid = np.indices((LEVELS,) * 3).reshape(3, -1).T  # (64, 3) red, green, blue levels
    order = np.argsort(grid @ (0.299, 0.587, 0.114), kind="stable")
    for row, part in enumerate(profiles.values()):
        start = 0.0
        for k in order:
            width = 100 * part.shares[COLOURS][k]
            ax.barh(row, width, left=start, height=0.8, color=(grid[k] + 0.5) / LEVELS)
            start += width
    ax.set_yticks(range(len(profiles)), list(profiles))
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    label(ax, "% of the pixels", "", f"colours, dark to light ({BINS[COLOURS]} kinds)")


def _sample(ax: Axes, dataset: Dataset, index: int, looks: dict[int, tuple]) -> None:
    """One image with its boxes, and below it how many of which class."""
    height, width = dataset.size(index)
    target = dataset.target(index)
    try:
        ax.imshow(dataset.resized(index, SAMPLE_SIDE), extent=(0, width, height, 0))
    except ImageError:
        ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        ax.annotate("cannot be decoded", (width / 2, height / 2), ha="center", va="center", fontsize=FONT)
    for (x1, y1, x2, y2), kind in zip(target.boxes.tolist(), target.labels.tolist(), strict=True):
        color, style = looks.get(kind, OTHER)
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linestyle=style, linewidth=1.8)
        box.set_path_effects(HALO)
        ax.add_patch(box)
    counts = Counter(target.labels.tolist()).most_common()
    text = ", ".join(f"{count} {_short(dataset.names[kind])}" for kind, count in counts[:2]) or "no object"
    ax.set_xlabel(text + (f", +{len(counts) - 2}" if len(counts) > 2 else ""), fontsize=FONT)


def _short(name: str) -> str:
    name = drawable(name)
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"
