"""Things to turn in a notebook: sliders, a browser, a filter, toggles. ipywidgets 7 and 8, keyboard alone suffices.

Each widget is two functions: a pure *view*, settings -> (picture, sentence), which a notebook also shows as a static
twin, and a widget that calls the view when a control moves. `lessons.show(widget, sentence)` displays it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from yolo_ft.core.targets import Detections, Target
from yolo_ft.finetune.accounting import MIB
from yolo_ft.finetune.metrics import Curve
from yolo_ft.report import plots
from yolo_ft.report.comparison import Comparison
from yolo_ft.report.lessons import png
from yolo_ft.report.mistakes import find_mistakes, rank_mistakes
from yolo_ft.report.pictures import draw_boxes

View = Callable[..., tuple[Figure | str, str]]
DEPTH_COLUMNS = {
    "parameter_share": "frozen parameters",
    "flops_share": "forward FLOPs in frozen layers",
    "kept_share": "bytes kept for backward",
}


def explorer(controls: Mapping[str, Any], view: View) -> ipywidgets.VBox:
    """Controls above, what `view(**values)` returns below; drawn once at the start and after every change.

    `controls` maps the names of the view's arguments to input widgets. The view returns a Figure or an HTML string,
    and the sentence that describes it, which is shown as text below.
    """
    picture, table, sentence = ipywidgets.Image(format="png"), ipywidgets.HTML(), ipywidgets.HTML()

    def redraw(_change: Any = None) -> None:
        """Show the view of what the controls say now."""
        content, told = view(**{name: control.value for name, control in controls.items()})
        if isinstance(content, str):
            table.value = content
        else:
            picture.value = png(content)
        sentence.value = f"<p>{escape(told)}</p>"

    redraw()
    for control in controls.values():
        control.observe(redraw, names="value")
    content = table if table.value else picture
    return ipywidgets.VBox([*controls.values(), content, sentence])


def wide(kind: type, **settings: Any) -> Any:
    """An input (`kind`: its class) whose description is never cut off; redrawn when it is let go."""
    return kind(style={"description_width": "initial"}, layout={"width": "480px"}, **settings)


# Lesson 01: the filterable layer table


def layer_view(table: pd.DataFrame, text: str = "", stage: str = "all") -> tuple[str, str]:
    """The rows of a layer or parameter table in which some cell contains `text`, of one stage or "all", as HTML."""
    rows = table if stage == "all" else table[table["stage"] == stage]
    if text:
        cells = rows.astype(str).apply(lambda column: column.str.contains(text, case=False, regex=False))
        rows = rows[cells.any(axis=1)]
    count = "parameters" if "parameters" in table else "count"  # a layer table, or a parameter table
    told = f"{len(rows)} of {len(table)} rows, {int(rows[count].sum()):,} parameters."
    return rows.to_html(index=False, max_rows=40), told


def layer_filter(table: pd.DataFrame) -> ipywidgets.VBox:
    """A text box and a stage menu over `model.layers()` or `model.parameter_table()`. Lesson 01."""
    stages = ["all", *dict.fromkeys(table["stage"])]
    controls = {
        "text": wide(ipywidgets.Text, description="contains", placeholder="cv2, model.9, C3 …"),
        "stage": wide(ipywidgets.Dropdown, options=stages, description="stage"),
    }
    return explorer(controls, lambda text, stage: layer_view(table, text, stage))


# Lesson 02: the depth slider


def depth_view(tables: Mapping[str, pd.DataFrame], network: str, depth: int) -> tuple[Figure, str]:
    """The accounting of `network` with a mark at `depth`, and what freezing that many layers saves.

    `tables`: {network: its `depth_table`}, one row per number of frozen layers.
    """
    table = tables[network].set_index("freeze")
    row = table.loc[depth]
    figure = plots.depth_chart(table, DEPTH_COLUMNS, depth=depth, title=network)
    told = (
        f"{network}, freeze {depth}: {row['parameter_share']:.1%} of the parameters frozen, "
        f"{row['kept_bytes'] / MIB:.1f} MiB kept for backward per image ({row['kept_share']:.1%}), "
        f"{row['flops_share']:.1%} of the forward FLOPs in frozen layers; ideal step {row['speedup']:.2f}× as fast, "
        f"{row['cached_speedup']:.2f}× with a cached prefix."
    )
    return figure, told


def depth_slider(tables: Mapping[str, pd.DataFrame], depth: int = 10) -> ipywidgets.VBox:
    """A menu of networks and a slider over the number of frozen layers. Lesson 02."""
    deepest = min(int(table["freeze"].max()) for table in tables.values())
    settings = {"min": 0, "max": deepest, "value": depth, "continuous_update": False}
    controls = {
        "network": wide(ipywidgets.Dropdown, options=list(tables), description="network"),
        "depth": wide(ipywidgets.IntSlider, description="frozen layers", **settings),
    }
    return explorer(controls, lambda network, depth: depth_view(tables, network, depth))


# Lessons 00 and 04: the confidence slider


def confidence_view(
    image: np.ndarray, truth: Target, detections: Detections, confidence: float, names: Mapping[int, str] | None = None
) -> tuple[Figure, str]:
    """One image with the detections of at least `confidence`, and how many of them are right (IoU 0.5)."""
    kept = detections.above(confidence)
    mistakes = find_mistakes(truth, kept)
    right, objects = int((~mistakes.false).sum()), len(truth.labels)
    precision = f"{right / len(kept):.2f}" if len(kept) else "undefined"
    recall = f"{right / objects:.2f}" if objects else "undefined"
    told = (
        f"Confidence {confidence:.2f}: {len(kept)} detections, {right} right, {len(kept) - right} false, "
        f"{objects - right} of {objects} objects missed; precision {precision}, recall {recall}."
    )
    return draw_boxes(image, truth, kept, names, f"confidence ≥ {confidence:.2f}"), told


def confidence_slider(
    image: np.ndarray,
    truth: Target,
    detections: Detections,
    names: Mapping[int, str] | None = None,
    start: float = 0.25,
) -> ipywidgets.VBox:
    """A slider over the confidence threshold of one image's detections. Lessons 00 and 04."""
    settings = {"min": 0.05, "max": 0.95, "step": 0.05, "value": start, "continuous_update": False}
    controls = {"confidence": wide(ipywidgets.FloatSlider, description="confidence", **settings)}
    return explorer(controls, lambda confidence: confidence_view(image, truth, detections, confidence, names))


# Lesson 04: the same slider over a whole data set


def threshold_view(
    curves: Mapping[str, Curve],
    truths: Sequence[Target],
    detections: Sequence[Detections],
    confidence: float,
    names: Mapping[int, str],
) -> tuple[Figure, str]:
    """Where a confidence stands on the precision-recall curve of each class, and the counts over all images.

    `curves` as `Metrics.curves`, with one entry for every class that has objects.
    """
    counts = {name: np.zeros(3, int) for name in names.values()}  # objects, boxes, right boxes (IoU 0.5)
    for truth, found in zip(truths, detections, strict=True):
        kept = found.above(confidence)
        right = ~find_mistakes(truth, kept).false
        for index, name in names.items():
            mine = kept.labels == index
            counts[name] += [(truth.labels == index).sum(), mine.sum(), right[mine].sum()]
    points = {n: (right / objects, right / boxes) for n, (objects, boxes, right) in counts.items() if objects and boxes}
    objects, boxes, right = sum(counts.values())
    told = f"Confidence {confidence:.2f}: {boxes} boxes, {right} of them right, for {objects} objects"
    if boxes and objects:
        told += f"; over all boxes, whatever their class: precision {right / boxes:.2f}, "
        told += f"recall {right / objects:.2f}, F1 {2 * right / (boxes + objects):.2f}"
    return plots.pr_curves(curves, f"confidence ≥ {confidence:.2f}", points), f"{told}."


def threshold_slider(
    curves: Mapping[str, Curve], truths: Sequence[Target], detections: Sequence[Detections], names: Mapping[int, str]
) -> ipywidgets.VBox:
    """A slider over the confidence: a mark runs along the precision-recall curve of every class. Lesson 04."""
    settings = {"min": 0.05, "max": 0.95, "step": 0.05, "value": 0.25, "continuous_update": False}
    controls = {"confidence": wide(ipywidgets.FloatSlider, description="confidence", **settings)}
    return explorer(controls, lambda confidence: threshold_view(curves, truths, detections, confidence, names))


# Lesson 04: the browser of mistakes


def mistake_view(
    images: Sequence[np.ndarray],
    truths: Sequence[Target],
    detections: Sequence[Detections],
    rank: int,
    confidence: float = 0.25,
    names: Mapping[int, str] | None = None,
) -> tuple[Figure, str]:
    """The image with the `rank`-th most mistakes (1 = worst), truth and detections drawn on it."""
    row = rank_mistakes(truths, detections, confidence).iloc[rank - 1]
    which = int(row["image"])
    told = (
        f"Rank {rank} of {len(truths)}, image {which}: {int(row['missed'])} of {int(row['objects'])} objects missed, "
        f"{int(row['false'])} false detections at confidence {confidence:.2f}."
    )
    kept = detections[which].above(confidence)
    return draw_boxes(images[which], truths[which], kept, names, f"rank {rank}: image {which}"), told


def mistake_browser(
    images: Sequence[np.ndarray],
    truths: Sequence[Target],
    detections: Sequence[Detections],
    names: Mapping[int, str] | None = None,
) -> ipywidgets.VBox:
    """Sliders over the rank (1 = most mistakes) and the confidence. Lesson 04."""
    score = {"min": 0.05, "max": 0.95, "step": 0.05, "value": 0.25, "continuous_update": False}
    place = {"min": 1, "max": len(truths), "value": 1, "continuous_update": False}
    controls = {
        "rank": wide(ipywidgets.IntSlider, description="rank (1 = worst)", **place),
        "confidence": wide(ipywidgets.FloatSlider, description="confidence", **score),
    }
    return explorer(
        controls, lambda rank, confidence: mistake_view(images, truths, detections, rank, confidence, names)
    )


# Lesson 05: the seed toggles


def seed_view(comparison: Comparison, seeds: Sequence[int], x: str = "train_seconds") -> tuple[Figure, str]:
    """The comparison with the runs of some seeds only: accuracy against `x`, and what may be said with so few."""
    table = comparison.table[comparison.table["seed"].isin(list(seeds))]
    if table.empty:
        return plots.canvas()[0], "Choose at least one seed."
    chosen = Comparison(table)
    return chosen.plot(x), chosen.sentence()


def seed_toggles(comparison: Comparison, x: str = "train_seconds") -> ipywidgets.VBox:
    """One checkbox per seed: watch the differences, and what may be claimed, change with the seeds. Lesson 05."""
    seeds = {f"seed {seed}": int(seed) for seed in sorted(comparison.table["seed"].unique())}
    controls = {name: ipywidgets.Checkbox(value=True, description=name, indent=False) for name in seeds}

    def view(**ticked: bool) -> tuple[Figure, str]:
        return seed_view(comparison, [seeds[name] for name, on in ticked.items() if on], x)

    return explorer(controls, view)
