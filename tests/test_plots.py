"""Figures: every one readable (11 points and more), with a second cue besides colour, and showing its data."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from yolo_ft.core.targets import Detections, Target
from yolo_ft.finetune.metrics import evaluate_detections
from yolo_ft.report import pictures, plots
from yolo_ft.report.lessons import png
from yolo_ft.report.live import LiveFigure, Progress

HISTORY = pd.DataFrame({"epoch": [0, 1, 2], "loss": [3.0, 2.0, 1.5], "map50": [np.nan, 0.2, 0.4]})
DEPTHS = pd.DataFrame({"share": [0.0, 0.3, 0.9], "kept": [1.0, 0.5, 0.1]}, index=[0, 1, 2])
SAVINGS = pd.DataFrame({"freeze": [0, 1], "kept_bytes": [2**22, 2**20], "kept_share": [1.0, 0.25]})
IMAGE = np.full((24, 32, 3), 128, np.uint8)
TRUTH = Target(np.array([[2, 3, 12, 20], [15, 3, 28, 9]]), np.array([0, 1]))
FOUND = Detections(np.array([[3, 3, 12, 19]]), np.array([0.75]), np.array([0]))
CURVE = SimpleNamespace(recall=np.linspace(0, 1, 101), precision=np.linspace(1, 0.5, 101))
SHARES = {
    "parameters": {"backbone": 0.6, "neck": 0.38, "head": 0.02},
    "FLOPs": {"backbone": 0.5, "neck": 0.4, "head": 0.1},
}

FIGURES = {
    "line_chart": lambda: plots.line_chart({"a": ([0, 1], [1, 2]), "b": ([0, 1], [2, 1])}, "x", "y", "t", (0.5, 1.5)),
    "layer_bars": lambda: plots.layer_bars([1, 2, 3], ["backbone", "neck", "neck"], "parameters", "t", guess=1),
    "stage_bars": lambda: plots.stage_bars(SHARES, "t", 30),
    "saving_chart": lambda: plots.saving_chart({"n": SAVINGS, "s": SAVINGS}),
    "depth_chart": lambda: plots.depth_chart(DEPTHS, {"share": "frozen", "kept": "bytes"}, 1, 40, "t"),
    "loss_curves": lambda: plots.loss_curves({"none": HISTORY, "freeze 10": HISTORY}, "t"),
    "training_figure": lambda: plots.training_figure([(0.5, 3.0), (1, 2.0)], [(1, 0.4)], 2),
    "pr_curves": lambda: plots.pr_curves({"RBC": CURVE, "WBC": CURVE}, "t", {"WBC": (0.5, 0.75)}),
    "answering_cells": lambda: plots.answering_cells(IMAGE, (0.5, 0.5, 0.2, 0.4), {"P3": (3, 4, [(1, 2)])}, "t"),
    "draw_boxes": lambda: pictures.draw_boxes(IMAGE, TRUTH, FOUND, {0: "RBC", 1: "WBC"}, "t"),
    "tile_grid": lambda: pictures.tile_grid({"a": np.random.rand(16, 6, 6, 3), "b": np.random.rand(8, 5, 5)}),
}
EMPTY = {
    "line_chart": lambda: plots.line_chart({}),
    "loss_curves": lambda: plots.loss_curves({"none": HISTORY.iloc[:0]}),
    "training_figure": lambda: plots.training_figure([], [], 0),
    "pr_curves": lambda: plots.pr_curves({}),
    "draw_boxes": lambda: pictures.draw_boxes(IMAGE, Target(), Detections(), {}),
    "no boxes at all": lambda: pictures.draw_boxes(IMAGE),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=list(FIGURES))
def test_every_figure_draws_and_no_text_is_smaller_than_11_points(make):
    figure = make()
    assert isinstance(figure, Figure)
    assert png(figure).startswith(b"\x89PNG")
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    assert sizes and min(sizes) >= 11


@pytest.mark.parametrize("make", EMPTY.values(), ids=list(EMPTY))
def test_nothing_to_draw_is_a_figure_too(make):
    assert png(make()).startswith(b"\x89PNG")


def test_lines_differ_in_colour_marker_and_style():
    figure = plots.line_chart({str(k): ([0, 1], [k, k]) for k in range(7)})
    lines = figure.axes[0].get_lines()
    for cue in ("get_color", "get_marker", "get_linestyle"):
        assert len({str(getattr(line, cue)()) for line in lines}) >= 4
    looks = {(line.get_color(), line.get_marker()) for line in lines}
    assert len(looks) == 7


def test_bars_of_different_stages_differ_in_hatch():
    bars = plots.layer_bars([1, 2, 3], ["backbone", "neck", "head"]).axes[0].patches
    assert len({bar.get_hatch() for bar in bars}) == 3
    parts = plots.stage_bars(SHARES).axes[0].patches
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in parts}) == 3


def test_stage_bars_add_up_and_label_only_what_has_room():
    ax = plots.stage_bars(SHARES).axes[0]
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(200)
    assert sorted(text.get_text() for text in ax.texts) == ["10 %", "38 %", "40 %", "50 %", "60 %"]


def test_saving_chart_counts_from_nothing_frozen():
    left, right = plots.saving_chart({"n": SAVINGS}, 1, 40).axes
    assert left.get_lines()[0].get_xydata().tolist() == [[0, 0], [1, 3]]
    assert right.get_lines()[0].get_xydata().tolist() == [[0, 0], [1, 75]]
    assert right.get_lines()[1].get_xydata().tolist() == [[1, 40]]


def test_the_guess_is_drawn_only_when_there_is_one():
    def stars(figure):
        return [line for line in figure.axes[0].get_lines() if line.get_marker() == "*"]

    assert stars(plots.depth_chart(DEPTHS, {"share": "s"}, 1)) == []
    (star,) = stars(plots.depth_chart(DEPTHS, {"share": "s"}, 1, 40))
    assert star.get_xydata().tolist() == [[1, 40]]
    assert stars(plots.layer_bars([1, 2], ["a", "a"])) == []
    assert len(stars(plots.layer_bars([1, 2], ["a", "a"], guess=1))) == 1


def test_loss_curves_leave_out_epochs_without_validation():
    left, right = plots.loss_curves({"none": HISTORY}).axes
    assert left.get_lines()[0].get_xdata().tolist() == [0, 1, 2]
    assert right.get_lines()[0].get_xdata().tolist() == [1, 2]


def test_boxes_are_drawn_where_they_are():
    truth, _, found = pictures.draw_boxes(IMAGE, TRUTH, FOUND, {0: "RBC", 1: "WBC"}).axes[0].patches
    assert truth.get_bbox().extents.tolist() == [2, 3, 12, 20]
    assert found.get_bbox().extents.tolist() == [3, 3, 12, 19]
    assert truth.get_linestyle() != found.get_linestyle()


def test_a_class_without_a_name_is_told_by_its_number():
    """A network that knows more classes than the data set."""
    texts = [text.get_text() for text in pictures.draw_boxes(IMAGE, TRUTH, None, {}).axes[0].texts]
    assert texts == [f"class {label}" for label in TRUTH.labels]


def test_many_names_in_one_picture_are_written_smaller():
    sizes = []
    for count in (pictures.CROWDED, pictures.CROWDED + 1):
        boxes = np.tile(np.array([[5, 5, 20, 20]], np.float32), (count, 1))
        drawn = pictures.draw_boxes(IMAGE, Target(boxes, np.zeros(count, np.int64)), None, {0: "RBC"})
        sizes.append({text.get_fontsize() for text in drawn.axes[0].texts})
    usual, small = sizes
    assert len(usual) == len(small) == 1 and min(small) < min(usual)


def test_a_heap_of_boxes_has_no_names():
    def names(count):
        boxes = np.tile(np.array([[5, 5, 20, 20]], np.float32), (count, 1))
        return pictures.draw_boxes(IMAGE, Target(boxes, np.zeros(count, np.int64)), None, {0: "RBC"}).axes[0].texts

    assert len(names(pictures.HEAPED)) == pictures.HEAPED
    assert len(names(pictures.HEAPED + 1)) == 0


def test_names_stay_inside_the_image():
    boxes = np.array([[2, 0, 12, 12], [2, 6, 12, 24]], np.float32)  # at the top edge, at the bottom edge of 24 rows
    labels = np.zeros(2, np.int64)
    found = pictures.draw_boxes(IMAGE, None, Detections(boxes, np.array([0.9, 0.8]), labels), {0: "RBC"}).axes[0].texts
    truth = pictures.draw_boxes(IMAGE, Target(boxes, labels), None, {0: "RBC"}).axes[0].texts
    assert [(text.xy[1], text.get_va()) for text in found] == [(0, "top"), (6, "bottom")]
    assert [(text.xy[1], text.get_va()) for text in truth] == [(12, "top"), (23.5, "bottom")]


def test_of_two_detections_at_one_place_the_less_certain_is_named_below():
    found = Detections(np.array([[5, 8, 15, 16], [5, 9, 14, 17]]), np.array([0.9, 0.8]), np.array([0, 1]))
    names = {0: "RBC", 1: "WBC"}
    alone = pictures.draw_boxes(IMAGE, None, found, names).axes[0].texts
    assert [(text.xy[1], text.get_va()) for text in alone] == [(8, "bottom"), (17, "top")]
    beside_truth = pictures.draw_boxes(IMAGE, TRUTH, found, names).axes[0].texts[2:]
    assert [text.get_va() for text in beside_truth] == ["bottom", "bottom"]  # below is the truth's place


def test_truth_and_detections_may_have_other_names():
    figure = pictures.draw_panels([("t", IMAGE, TRUTH, FOUND)], {0: "person"}, truth_names={0: "RBC", 1: "WBC"})
    assert [text.get_text() for text in figure.axes[0].texts] == ["RBC", "WBC", "person 0.75"]


def test_layer_bars_carry_words_and_exact_ticks():
    ax = plots.layer_bars([20, 0], ["neck", "head"], words={1: "new", 0: "old"}).axes[0]
    assert [(word.get_text(), word.xy) for word in ax.texts] == [("new", (1, 0)), ("old", (0, 20))]
    formatted = [ax.yaxis.get_major_formatter()(value) for value in (2.5, 0.02, 296_448)]
    assert formatted == ["2.5", "0.02", "296,448"]


def test_the_live_loss_starts_anew_in_every_epoch():
    losses = [(1 / 3, 3.0), (2 / 3, 2.0), (1.0, 2.0), (4 / 3, 1.0), (2.0, 0.5), (3.0, 0.4)]
    left, right = plots.training_figure(losses, [(3.0, 0.4)], 3).axes
    (line,) = left.get_lines()
    assert np.isnan(line.get_ydata()).nonzero()[0].tolist() == [3, 6]
    assert line.get_ydata()[~np.isnan(line.get_ydata())].tolist() == [loss for _, loss in losses]
    assert line.get_marker() == "."  # an epoch of a single batch has no line
    assert not right.get_lines()[0].get_clip_on()  # a point at the panel's edge is drawn whole


def test_answering_cells_lie_in_units_of_cells():
    levels = {"P3": (3, 4, [(1, 2), (0, 2)]), "P4": (1, 2, [])}
    left, right = plots.answering_cells(IMAGE, (0.5, 0.5, 0.25, 1 / 3), levels).axes
    assert [patch.get_bbox().extents.tolist() for patch in left.patches[:2]] == [[2, 1, 3, 2], [2, 0, 3, 1]]
    assert left.patches[2].get_bbox().extents.tolist() == pytest.approx([1.5, 1, 2.5, 2])
    assert len(right.patches) == 1  # the object alone


def test_points_on_the_curves_belong_to_their_classes():
    ax = plots.pr_curves({"RBC": CURVE, "WBC": CURVE}, points={"WBC": (0.5, 0.75), "absent": (0, 0)}).axes[0]
    *lines, point = ax.get_lines()
    assert len(lines) == 2 and point.get_xydata().tolist() == [[0.5, 0.75]]
    assert (point.get_color(), point.get_marker()) == (lines[1].get_color(), lines[1].get_marker())


def test_no_point_stands_above_its_stair_which_ends_where_the_recall_does():
    """Seven objects: 3 / 7 lies between two of the 101 recalls, before a drop that a slanted line would begin early."""
    boxes = [[40 * k, 0, 40 * k + 20, 20] for k in range(9)]
    truths = [Target(boxes[:7], [0] * 7)]
    order = [0, 1, 2, 7, 8, 3, 4]  # 3 right, 2 wrong, 2 right
    found = Detections([boxes[k] for k in order], np.linspace(0.9, 0.3, 7), [0] * 7)
    curves = evaluate_detections(truths, [found], {0: "cell"}).curves
    (line,) = plots.pr_curves(curves).axes[0].get_lines()
    recall, precision = line.get_data()
    assert line.get_drawstyle() == "steps-post"
    assert recall[-1] == pytest.approx(0.71) and precision.min() > 0
    right = np.cumsum([k < 7 for k in order])
    drawn = precision[np.searchsorted(recall, right / 7, side="right") - 1]
    marks = right / np.arange(1, 8)
    assert (marks <= drawn).all() and (marks == drawn).any()
    assert (marks > np.interp(right / 7, recall, precision)).any()  # what slanted lines did


def test_a_line_chart_draws_stairs_only_when_asked():
    for steps, style in ((False, "default"), (True, "steps-post")):
        (line,) = plots.line_chart({"a": ([0, 1], [1, 2])}, steps=steps).axes[0].get_lines()
        assert line.get_drawstyle() == style


def test_panels_make_one_picture_per_image():
    figure = pictures.draw_panels([("a", IMAGE, TRUTH, None), ("b", IMAGE, None, FOUND), ("c", IMAGE, None, None)])
    assert [ax.get_title() for ax in figure.axes[:3]] == ["a", "b", "c"]


def test_stretch():
    assert pictures.stretch(np.array([[2.0, 4.0], [3.0, 2.0]])).tolist() == [[0, 1], [0.5, 0]]
    assert pictures.stretch(np.full((2, 2), 7)).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def drive(listener, epochs=2, batches=3):
    listener("start", {"config": None, "epochs": epochs, "batches": batches, "frozen": "nothing frozen"})
    for epoch in range(epochs):
        for batch in range(batches):
            listener("batch", {"epoch": epoch, "batch": batch, "batches": batches, "loss": 2.0 - epoch})
        listener("epoch", {"epoch": epoch, "loss": 1.0} | ({"map50": 0.5, "map50_95": 0.3} if epoch else {}))
    listener("end", {"summary": {}})


class Handle:
    """Stands in for a display handle and counts."""

    def __init__(self):
        self.bundles = []

    def __call__(self, bundle, metadata, raw, display_id):
        self.bundles.append(bundle)
        return self

    def update(self, bundle, metadata, raw):
        self.bundles.append(bundle)


@pytest.mark.parametrize(("interval", "drawn"), [(0.0, 8), (1e9, 2)])
def test_live_figure_is_throttled_and_ends_with_everything(monkeypatch, interval, drawn):
    handle = Handle()
    monkeypatch.setattr("yolo_ft.report.live.display", handle)
    live = LiveFigure(interval=interval)
    drive(live)
    assert len(handle.bundles) == drawn  # the start, each batch that was due, the end
    assert {bundle["text/plain"] for bundle in handle.bundles} == {LiveFigure.TEXT}
    assert live.losses[0] == (pytest.approx(1 / 3), 2.0) and live.losses[-1] == (2.0, 1.0)
    assert live.scores == [(2.0, 0.5)]


def test_progress_counts_every_batch_and_tells_validated_epochs(capsys):
    listener = Progress()
    drive(listener)
    assert listener.bar.n == listener.bar.total == 6
    captured = capsys.readouterr()
    assert "epoch 2: mAP50 0.500, mAP50-95 0.300" in captured.out + captured.err
    assert "epoch 1:" not in captured.out + captured.err


def test_progress_of_a_resumed_run_starts_in_the_middle(capsys):
    listener = Progress()
    listener("start", {"config": None, "epochs": 4, "batches": 5, "frozen": "nothing frozen"})
    listener("batch", {"epoch": 2, "batch": 0, "loss": 1.0})
    assert listener.bar.n == 11
    listener("end", {"summary": {}})


def test_progress_tells_what_the_cache_saved(capsys):
    listener = Progress()
    listener("start", {"config": None, "epochs": 1, "batches": 1, "frozen": "layers 0-9"})
    listener("end", {"summary": {"views": 8, "prefix_cache": {"hits": 30, "misses": 10, "bytes": 2_000_000}}})
    captured = capsys.readouterr()
    assert "30 of 40 image passes read back (8 views, 2 MB written)" in captured.out + captured.err


def test_progress_does_not_draw_every_batch(capsys):
    listener = Progress()
    listener("start", {"config": None, "epochs": 1, "batches": 2000, "frozen": "nothing frozen"})
    for batch in range(2000):
        listener("batch", {"epoch": 0, "batch": batch, "loss": 1.0})
    assert listener.bar.n == 2000
    listener("end", {"summary": {}})
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("loss=") < 1000
