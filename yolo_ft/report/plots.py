"""Charts of the lessons: data in, matplotlib Figure out, nothing else.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart, and every group has a second cue
besides colour: hatch, marker or line style. No text is smaller than 11 points. Figures are made without pyplot, so
no backend and no global state is involved; `lessons.show` displays them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from yolo_ft.finetune.accounting import MIB

BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
    "#000000",
)
COLORS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++", "oo")
FONT = 11

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def canvas(width: float = 8.0, height: float = 4.0, rows: int = 1, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """A Figure of (width, height) inches and its (rows, columns) array of axes, with readable ticks."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.tick_params(labelsize=FONT)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def label(ax: Axes, x: str = "", y: str = "", title: str = "", legend: str = "") -> None:
    """Write axis labels, title and (at location `legend`) a legend, all large enough to read."""
    ax.set_xlabel(x, fontsize=FONT)
    ax.set_ylabel(y, fontsize=FONT)
    ax.set_title(title, fontsize=FONT + 1)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=FONT, loc=legend, framealpha=0.9)


def _legend_outside(figure: Figure, ax: Axes) -> None:
    """A legend above the axes, where it hides no data."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, max(1, len(labels))), fontsize=FONT)


def mark_guess(ax: Axes, x: float | None, y: float | None) -> None:
    """Draw the reader's guess as a star; a guess of None draws nothing."""
    if x is None or y is None:
        return
    ax.plot([x], [y], "*", color=PURPLE, markersize=18, markeredgecolor=BLACK, label="your guess", zorder=5)


def line_chart(
    series: Series,
    x: str = "",
    y: str = "",
    title: str = "",
    guess: tuple[float, float] | None = None,
    log_y: bool = False,
    legend: str = "best",
    steps: bool = False,
) -> Figure:
    """One line per entry of `series`, {label: (x values, y values)}; `guess` is the reader's point (x, y).

    With `steps` a value holds until the next one, instead of a slanted line.
    """
    figure, axes = canvas()
    ax = axes[0, 0]
    draw_lines(ax, series, steps)
    if guess is not None:
        mark_guess(ax, *guess)
    if log_y:
        ax.set_yscale("log")
    else:
        ax.yaxis.set_major_formatter("{x:,.6g}")
    if all(float(value).is_integer() for xs, _ in series.values() for value in xs):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    label(ax, x, y, title, legend)
    return figure


def draw_lines(ax: Axes, series: Series, steps: bool = False) -> None:
    """Draw each line with its own colour, marker and line style; markers thin out on long lines.

    With `steps` a value holds until the next one, instead of a slanted line.
    """
    shared = {"markersize": 6, "linewidth": 1.8, "drawstyle": "steps-post" if steps else "default"}
    for k, (name, (xs, ys)) in enumerate(series.items()):
        style = {"color": COLORS[k % 7], "marker": MARKERS[k % 7], "linestyle": STYLES[k % 7]}
        ax.plot(xs, ys, label=name, markevery=max(1, len(xs) // 12), **style, **shared)


def layer_bars(
    values: Sequence[float],
    stages: Sequence[str],
    y: str = "",
    title: str = "",
    guess: int | None = None,
    words: Mapping[int, str] | None = None,
) -> Figure:
    """One bar per layer, coloured and hatched by its stage; `guess` is the layer that the reader named.

    `words`, {layer: word}, are written where the bars of these layers end.
    """
    figure, axes = canvas(9, 4)
    ax = axes[0, 0]
    values, stages = np.asarray(values, float), np.asarray(stages)
    for k, stage in enumerate(dict.fromkeys(stages.tolist())):
        index = np.flatnonzero(stages == stage)
        ax.bar(index, values[index], color=COLORS[k], hatch=HATCHES[k], edgecolor="white", label=stage)
    if guess is not None:
        mark_guess(ax, guess, values.max() * 1.05)
    for index, word in (words or {}).items():
        ax.annotate(word, (index, values[index]), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=FONT)
    ax.xaxis.set_major_locator(MaxNLocator(13, integer=True))
    ax.yaxis.set_major_formatter("{x:,.6g}")
    label(ax, "layer index", y, title, "best")
    return figure


def stage_bars(shares: Mapping[str, Mapping[str, float]], title: str = "", guess: float | None = None) -> Figure:
    """One stacked bar per quantity, {quantity: {part: share of 1}}, with the percentage written in each part.

    `guess` is the reader's value in per cent, drawn on the first bar.
    """
    figure, axes = canvas(9, 0.9 + 0.75 * len(shares))
    ax = axes[0, 0]
    stages = list(next(iter(shares.values())))
    start = np.zeros(len(shares))
    for k, stage in enumerate(stages):
        widths = np.array([100 * row[stage] for row in shares.values()])
        bars = ax.barh(
            list(shares), widths, left=start, color=COLORS[k], hatch=HATCHES[k], edgecolor="white", label=stage
        )
        for bar, width in zip(bars, widths, strict=True):
            if width >= 6:  # a narrower part has no room for its number
                middle = (bar.get_x() + width / 2, bar.get_y() + bar.get_height() / 2)
                box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
                ax.annotate(f"{width:.0f} %", middle, ha="center", va="center", fontsize=FONT, bbox=box)
        start += widths
    mark_guess(ax, guess, 0)
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    label(ax, "share of the whole network (%)", "", title)
    _legend_outside(figure, ax)
    return figure


def depth_chart(
    table: pd.DataFrame,
    columns: Mapping[str, str],
    depth: int | None = None,
    guess: float | None = None,
    title: str = "",
) -> Figure:
    """What freezing the first n layers changes, for every n: one line per column of `table`, whose index is n.

    `columns` maps a column (shares of 1) to its label; `depth` draws a vertical line; `guess` is the reader's value,
    in per cent, at `depth`.
    """
    series = {name: (table.index.tolist(), (100 * table[column]).tolist()) for column, name in columns.items()}
    figure, axes = canvas(9, 4.2)
    ax = axes[0, 0]
    draw_lines(ax, series)
    if depth is not None:
        ax.axvline(depth, color=BLACK, linewidth=1.2, label=f"freeze {depth}")
    mark_guess(ax, depth, guess)
    ax.set_ylim(-3, 103)
    ax.xaxis.set_major_locator(MaxNLocator(13, integer=True))
    label(ax, "number of frozen layers n (layers 0 to n − 1)", "% of the whole network", title)
    _legend_outside(figure, ax)
    return figure


def saving_chart(tables: Mapping[str, pd.DataFrame], depth: int | None = None, guess: float | None = None) -> Figure:
    """What each depth saves of the memory kept for backward, in MiB and as a share: {network: its `depth_table`}.

    `guess` is the reader's share, in per cent, at `depth`.
    """
    figure, axes = canvas(10, 4.6, columns=2)
    left, right = axes[0]
    depths = {name: table["freeze"].tolist() for name, table in tables.items()}
    draw_lines(left, {n: (depths[n], (t["kept_bytes"].max() - t["kept_bytes"]) / MIB) for n, t in tables.items()})
    draw_lines(right, {n: (depths[n], 100 * (1 - t["kept_share"])) for n, t in tables.items()})
    mark_guess(right, depth, guess)
    for ax, name in ((left, "memory saved (MiB per image)"), (right, "memory saved (% of its own)")):
        ax.xaxis.set_major_locator(MaxNLocator(13, integer=True))
        label(ax, "number of frozen layers", name)
    _legend_outside(figure, right)
    return figure


def loss_curves(histories: Mapping[str, pd.DataFrame], title: str = "") -> Figure:
    """Loss and validation mAP50 over epochs, one line per run: {label: results.csv as a DataFrame}."""
    figure, axes = canvas(10, 4, columns=2)
    for ax, column, name in zip(axes[0], ("loss", "map50"), ("training loss", "validation mAP50"), strict=True):
        kept = {run: history.dropna(subset=[column]) for run, history in histories.items()}
        draw_lines(ax, {run: (rows["epoch"].tolist(), rows[column].tolist()) for run, rows in kept.items()})
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylim(bottom=0)
        label(ax, "epoch", name, title if column == "loss" else "", "best")
    return figure


def training_figure(
    losses: Sequence[tuple[float, float]], scores: Sequence[tuple[float, float]], epochs: int
) -> Figure:
    """The live picture: (epochs done, mean loss so far in the epoch) left, (epochs done, mAP50) per epoch right.

    The mean starts anew in every epoch, and so does the line.
    """
    figure, axes = canvas(9, 3.2, columns=2)
    left, right = axes[0]
    means = np.array(losses, float).reshape(-1, 2)
    starts = np.flatnonzero(np.diff(np.ceil(means[:, 0]))) + 1  # an epoch's last batch is at a whole number
    left.plot(*np.insert(means, starts, np.nan, axis=0).T, color=BLUE, linewidth=1.5, marker=".", markersize=3)
    look = {"color": VERMILLION, "marker": "s", "linestyle": "--", "markersize": 6, "clip_on": False}
    right.plot(*np.array(scores).reshape(-1, 2).T, **look)
    for ax, name in ((left, "training loss,\nmean so far in the epoch"), (right, "validation mAP50")):
        ax.set_xlim(0, max(epochs, 1))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        label(ax, "epochs done", name)
    right.set_ylim(0, 1)
    return figure


def pr_curves(
    curves: Mapping[str, Any], title: str = "", points: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """Precision over recall, one line per class: {class: object with arrays `recall` and `precision`}.

    A line is a stair and ends where the precision is 0, the recall never reached. A step shows the best precision from
    its beginning on, so no point of the class can stand above it.

    `points`, {class: (recall, precision)}, are marked in the colours of the lines, for example where a confidence
    slider stands.
    """
    figure, axes = canvas(6, 4.5)
    ax = axes[0, 0]
    reached = {name: curve.precision > 0 for name, curve in curves.items()}
    lines = {name: (curve.recall[reached[name]], curve.precision[reached[name]]) for name, curve in curves.items()}
    draw_lines(ax, lines, steps=True)
    for k, name in enumerate(curves):
        if points and name in points:
            look = {"markersize": 14, "markeredgecolor": BLACK, "markeredgewidth": 1.5, "zorder": 5, "clip_on": False}
            ax.plot(*[[value] for value in points[name]], MARKERS[k % 7], color=COLORS[k % 7], **look)
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.05)
    label(ax, "recall", "precision", title)
    if curves:
        _legend_outside(figure, ax)
    return figure


def answering_cells(
    image: np.ndarray,
    box: Sequence[float],
    levels: Mapping[str, tuple[int, int, Iterable[tuple[int, int]]]],
    title: str = "",
) -> Figure:
    """One object on the grid of every level, the cells that answer for it hatched.

    `image`: (h, w, 3); `box`: cx, cy, w, h as shares of it; `levels`: {title: (rows, columns, [(row, column), ...])}.
    """
    figure, axes = canvas(10, 3.9, columns=len(levels))
    cx, cy, w, h = box
    for ax, (name, (rows, columns, cells)) in zip(axes[0], levels.items(), strict=True):
        ax.imshow(image, extent=(0, columns, rows, 0))
        ax.hlines(range(rows + 1), 0, columns, color="white", linewidth=0.6)
        ax.vlines(range(columns + 1), 0, rows, color="white", linewidth=0.6)
        for row, column in cells:
            look = {"facecolor": (*to_rgb(ORANGE), 0.45), "edgecolor": BLACK, "hatch": "///", "linewidth": 1.2}
            ax.add_patch(Rectangle((column, row), 1, 1, **look))
        corner = ((cx - w / 2) * columns, (cy - h / 2) * rows)
        ax.add_patch(Rectangle(corner, w * columns, h * rows, fill=False, edgecolor=BLUE, linewidth=3))
        ax.plot([cx * columns], [cy * rows], "o", color=BLUE, markeredgecolor="white", markersize=8)
        ax.set(xticks=[], yticks=[])
        label(ax, title=name)
    figure.suptitle(title, fontsize=FONT + 1)
    return figure
