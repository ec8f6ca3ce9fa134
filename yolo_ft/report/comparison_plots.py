"""The figures of a comparison: accuracy against cost, differences by seed. Data in, matplotlib Figure out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from yolo_ft.report.plots import BLACK, COLORS, FONT, MARKERS, canvas, label, mark_guess

METRICS = {
    "map50": "mAP50",
    "map50_95": "mAP50-95",
    "final_map50": "mAP50 after the last epoch",
    "final_map50_95": "mAP50-95 after the last epoch",
}
# Column: (axis label, divisor that gives the label's unit).
AXES = {
    "train_seconds": ("training time (s)", 1),
    "images_per_s": ("images per second", 1),
    "peak_memory_mb": ("peak memory (MB)", 1),
    "backward_bytes_per_image": ("kept for backward (MB per image)", 1e6),
    "frozen_share": ("frozen share of the parameters (%)", 0.01),
    **{name: (text, 1) for name, text in METRICS.items()},
}


def plot_comparison(table: pd.DataFrame, x: Sequence[str], metric: str, star: Mapping | None = None) -> Figure:
    """One panel per column in `x`: every run a dot at (cost, `metric`), arms told apart by colour and marker.

    `table`: rows with an `arm` and the columns drawn. `star`: one more row, drawn as a star ("your run"). Both axes
    begin at 0, so distances can be read as ratios. A run that lacks a value is missing from that panel.
    """
    arms = list(dict.fromkeys(table["arm"]))
    lines = len(arms) + (star is not None)
    figure, axes = canvas(max(6.5, 5 * len(x)), 3.8 + 0.25 * math.ceil(lines / len(x)), columns=len(x))
    name, unit = AXES[metric]
    for ax, column in zip(axes[0], x, strict=True):
        axis, divisor = AXES[column]
        for k, arm in enumerate(arms):
            rows = table[table["arm"] == arm]
            style = {"color": COLORS[k % 7], "marker": MARKERS[(k + k // 7) % 7]}  # 49 pairs before one repeats
            points = rows[column] / divisor, rows[metric] / unit
            ax.plot(*points, linestyle="", markersize=8, alpha=0.8, markeredgecolor="white", label=arm, **style)
        if star is not None:
            mark = {"marker": "*", "color": "white", "markeredgecolor": BLACK, "markersize": 18, "markeredgewidth": 1.5}
            ax.plot([star[column] / divisor], [star[metric] / unit], linestyle="", label="your run", zorder=5, **mark)
        ax.set_xlim(0, _end([*table[column], *([star[column]] if star else [])]) / divisor)
        ax.set_ylim(0, _end([*table[metric], *([star[metric]] if star else [])]) / unit)
        label(ax, axis, name if ax is axes[0, 0] else "")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(x), fontsize=FONT)
    return figure


def paired_chart(paired: pd.DataFrame, x: str = "", guess: float | None = None) -> Figure:
    """Differences from a baseline, one row per arm: every seed its own mark, mean and 95 % interval where there are.

    `paired` is what `Comparison.paired` returns; `guess` is the reader's difference for the first row.
    """
    figure, axes = canvas(9, 1.8 + 0.7 * len(paired))
    ax = axes[0, 0]
    places = np.arange(len(paired))
    for k, seed in enumerate(name for name in paired.columns if name.startswith("seed ")):
        style = {"color": COLORS[k % 7], "marker": MARKERS[k % 7], "linestyle": ""}
        ax.plot(paired[seed], places - 0.12, label=seed, markersize=8, alpha=0.8, markeredgecolor="white", **style)
    if "mean" in paired:
        below, above = paired["mean"] - paired["95 % low"], paired["95 % high"] - paired["mean"]
        style = {"color": BLACK, "fmt": "|", "markersize": 14, "capsize": 5, "linewidth": 1.8}
        ax.errorbar(paired["mean"], places + 0.2, xerr=[below, above], label="mean, 95 % interval", **style)
    ax.axvline(0, color=BLACK, linewidth=1, linestyle=":")
    mark_guess(ax, guess, 0)
    ax.set_yticks(places, paired.index)
    ax.set_ylim(len(paired) - 0.4, -0.6)
    label(ax, x)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=FONT)
    return figure


def _end(values: Sequence[float]) -> float:
    """Where an axis that begins at 0 ends, with room for the outermost mark; 1 where there is nothing to draw."""
    return 1.08 * max((value for value in values if value > 0), default=1.0)
