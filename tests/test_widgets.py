"""Widgets: the views are pure and right, every control redraws, everything works without a mouse."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from yolo_ft.core.targets import Detections, Target
from yolo_ft.finetune.comparison import COLUMNS
from yolo_ft.finetune.metrics import evaluate_detections
from yolo_ft.report import lessons, widgets
from yolo_ft.report.comparison import Comparison
from yolo_ft.report.mistakes import find_mistakes, rank_mistakes, weakest_class

KEYBOARD = (ipywidgets.Text, ipywidgets.Dropdown, ipywidgets.IntSlider, ipywidgets.FloatSlider, ipywidgets.Checkbox)
NAMES = {0: "RBC", 1: "WBC"}
IMAGE = np.full((24, 40, 3), 128, np.uint8)
TRUTH = Target(np.array([[0, 0, 10, 20], [20, 0, 30, 20]]), np.array([0, 1]))
CURVES = {name: SimpleNamespace(recall=np.linspace(0, 1, 3), precision=np.ones(3)) for name in NAMES.values()}
RIGHT, LOOSE, NOWHERE = [0, 0, 10, 20], [0, 0, 10, 12], [30, 20, 40, 24]


def found(*rows):
    """Detections from (box, score, class) rows."""
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(np.array(boxes, float).reshape(-1, 4), np.array(scores), np.array(labels))


LAYERS = pd.DataFrame(
    {
        "index": [0, 1, 24],
        "name": ["stem", "N3", "detect"],
        "stage": ["backbone", "neck", "head"],
        "parameters": [1760, 4672, 115005],
    }
)
DEPTHS = pd.DataFrame(
    {
        "freeze": [0, 1, 2],
        "parameter_share": [0.0, 0.25, 0.9],
        "kept_bytes": [4 * 2**20, 2**20, 0],
        "kept_share": [1.0, 0.25, 0.0],
        "flops_share": [0.0, 0.5, 0.9],
        "speedup": [1.0, 1.5, 2.5],
        "cached_speedup": [1.0, 2.0, 10.0],
    }
)


def comparison(seeds=3):
    rows = [
        {"name": f"{arm}-{seed}", "arm": arm, "seed": seed, "map50_95": score + seed / 100, "train_seconds": cost}
        for arm, score, cost in (("freeze none", 0.5, 20), ("freeze 10", 0.45, 10))
        for seed in range(seeds)
    ]
    return Comparison(pd.DataFrame(rows, columns=list(COLUMNS)))


@pytest.mark.parametrize(
    ("detections", "missed", "false"),
    [
        (found(), [True, True], []),
        (found((RIGHT, 0.9, 0)), [False, True], [False]),
        (found((RIGHT, 0.9, 1)), [True, True], [True]),  # right place, wrong class
        (found((RIGHT, 0.9, 0), (LOOSE, 0.8, 0)), [False, True], [False, True]),  # one object, one match
        (found((LOOSE, 0.9, 0), (RIGHT, 0.8, 0)), [False, True], [False, True]),  # the best score chooses first
        (found((NOWHERE, 0.9, 0)), [True, True], [True]),
    ],
)
def test_find_mistakes(detections, missed, false):
    mistakes = find_mistakes(TRUTH, detections)
    assert mistakes.missed.tolist() == missed
    assert mistakes.false.tolist() == false


def test_find_mistakes_without_objects_and_with_a_stricter_iou():
    assert find_mistakes(Target(), found((RIGHT, 0.9, 0))).false.tolist() == [True]
    assert find_mistakes(Target(), found()).missed.tolist() == []
    assert find_mistakes(TRUTH, found((LOOSE, 0.9, 0))).iou.tolist() == [pytest.approx(0.6)]
    assert find_mistakes(TRUTH, found((LOOSE, 0.9, 0)), iou=0.7).false.tolist() == [True]


def test_a_detection_takes_the_free_object_that_it_overlaps_most():
    twins = Target(np.array([[0, 0, 10, 10], [2, 0, 12, 10]]), np.array([0, 0]))
    mistakes = find_mistakes(twins, found(([2, 0, 12, 10], 0.9, 0), ([0, 0, 10, 10], 0.8, 0)))
    assert mistakes.iou.tolist() == [pytest.approx(1), pytest.approx(1)] and not mistakes.missed.any()


@pytest.mark.parametrize(
    ("labels", "detected", "told"),
    [
        ([0, 0, 1, 2], [0, 0, 1], "mAP50 0.67, lowest for c with 0.00: here 1 objects with a median side of 40 pixels, "
         "in the other classes 1 to 2 objects of 15 to 30 pixels."),
        ([0, 0, 1, 1], [1, 1], "mAP50 0.50, lowest for a with 0.00: here 2 objects with a median side of 15 pixels, "
         "in the other classes 2 objects of 35 pixels."),
        ([1, 1, 1, 1], [], "mAP50 0.00, of b alone: here 4 objects with a median side of 25 pixels."),
    ],
)  # fmt: skip
def test_weakest_class_stands_beside_the_others(labels, detected, told):
    boxes = [[0, 0, 10, 10], [50, 0, 70, 20], [100, 0, 130, 30], [150, 0, 190, 40]]
    truths = [Target(boxes, labels), Target()]
    hits = [k for k, label in enumerate(labels) if label in detected]
    detections = [Detections([boxes[k] for k in hits], [0.9] * len(hits), [labels[k] for k in hits]), Detections()]
    names = {0: "a", 1: "b", 2: "c", 3: "absent"}
    assert weakest_class(evaluate_detections(truths, detections, names), truths, names) == told


def test_weakest_class_without_an_object():
    with pytest.warns(UserWarning, match="undefined"):
        metrics = evaluate_detections([Target()], [found((RIGHT, 0.9, 0))], NAMES)
    assert weakest_class(metrics, [Target()], NAMES).startswith("No object is labelled here")


def test_rank_mistakes_puts_the_worst_image_first():
    perfect = found((RIGHT, 0.9, 0), ([20, 0, 30, 20], 0.9, 1))
    loose = found((LOOSE, 0.9, 0), ([20, 0, 30, 20], 0.9, 1))
    hopeless = found((NOWHERE, 0.9, 0), (NOWHERE, 0.9, 1))
    table = rank_mistakes([TRUTH] * 4, [perfect, hopeless, loose, found((RIGHT, 0.1, 0))])
    assert table["image"].tolist() == [1, 3, 2, 0]
    assert table["missed"].tolist() == [2, 2, 0, 0]
    assert table["false"].tolist() == [2, 0, 0, 0]  # below the confidence nothing is false
    assert table["mean_iou"].tolist()[2:] == [pytest.approx(0.8), pytest.approx(1)]
    assert rank_mistakes([], []).empty


@pytest.mark.parametrize(
    ("text", "stage", "rows", "parameters"),
    [
        ("", "all", 3, "121,437"),
        ("N3", "all", 1, "4,672"),
        ("n3", "head", 0, "0"),
        ("", "head", 1, "115,005"),
        ("(", "all", 0, "0"),
    ],
)
def test_layer_view_filters(text, stage, rows, parameters):
    table, told = widgets.layer_view(LAYERS, text, stage)
    assert told == f"{rows} of 3 rows, {parameters} parameters."
    assert table.count("<tr") == rows + 1


def test_layer_view_counts_a_parameter_table_too():
    assert widgets.layer_view(LAYERS.rename(columns={"parameters": "count"}), "stem")[1].endswith("1,760 parameters.")


def test_depth_view_says_what_the_row_says():
    figure, told = widgets.depth_view({"n": DEPTHS}, "n", 1)
    assert isinstance(figure, Figure)
    assert "25.0% of the parameters" in told and "1.0 MiB" in told and "(25.0%)" in told
    assert "50.0% of the forward FLOPs" in told and "1.50×" in told and "2.00×" in told


@pytest.mark.parametrize(
    ("confidence", "told"),
    [
        (0.2, "2 detections, 1 right, 1 false, 1 of 2 objects missed; precision 0.50, recall 0.50."),
        (0.5, "1 detections, 1 right, 0 false, 1 of 2 objects missed; precision 1.00, recall 0.50."),
        (0.95, "0 detections, 0 right, 0 false, 2 of 2 objects missed; precision undefined, recall 0.00."),
    ],
)
def test_confidence_view_counts(confidence, told):
    detections = found((RIGHT, 0.9, 0), (NOWHERE, 0.3, 0))
    assert widgets.confidence_view(IMAGE, TRUTH, detections, confidence, NAMES)[1].endswith(told)
    assert "recall undefined" in widgets.confidence_view(IMAGE, Target(), detections, confidence)[1]


def test_mistake_view_names_image_and_counts():
    told = widgets.mistake_view([IMAGE] * 2, [TRUTH] * 2, [found((RIGHT, 0.9, 0)), found()], 1)[1]
    assert told == "Rank 1 of 2, image 1: 2 of 2 objects missed, 0 false detections at confidence 0.25."


def test_threshold_view_counts_over_images_and_marks_every_class():
    truths, detections = [TRUTH, Target()], [found((RIGHT, 0.9, 0)), found((NOWHERE, 0.6, 1), (RIGHT, 0.2, 1))]
    figure, told = widgets.threshold_view(CURVES, truths, detections, 0.5, NAMES)
    assert told == (
        "Confidence 0.50: 2 boxes, 1 of them right, for 2 objects; "
        "over all boxes, whatever their class: precision 0.50, recall 0.50, F1 0.50."
    )
    points = [line.get_xydata().tolist() for line in figure.axes[0].get_lines()[2:]]
    assert points == [[[1.0, 1.0]], [[0.0, 0.0]]]
    assert widgets.threshold_view(CURVES, truths, detections, 0.95, NAMES)[1].endswith(
        "0 of them right, for 2 objects."
    )


def test_seed_view_keeps_the_seeds_that_are_asked_for():
    assert widgets.seed_view(comparison(), [0, 2])[1].count("-0.050") == 2
    assert "interval" in widgets.seed_view(comparison(5), range(5))[1]
    assert widgets.seed_view(comparison(), [])[1] == "Choose at least one seed."


WIDGETS = {
    "layer_filter": (lambda: widgets.layer_filter(LAYERS), {0: "detect", 1: "neck"}),
    "depth_slider": (lambda: widgets.depth_slider({"n": DEPTHS, "s": DEPTHS}, depth=1), {0: "s", 1: 2}),
    "confidence_slider": (lambda: widgets.confidence_slider(IMAGE, TRUTH, found((RIGHT, 0.5, 0)), NAMES), {0: 0.8}),
    "mistake_browser": (
        lambda: widgets.mistake_browser([IMAGE] * 2, [TRUTH] * 2, [found((RIGHT, 0.5, 0)), found()], NAMES),
        {0: 2, 1: 0.8},
    ),
    "threshold_slider": (
        lambda: widgets.threshold_slider(CURVES, [TRUTH], [found((RIGHT, 0.5, 0))], NAMES),
        {0: 0.8},
    ),
    "seed_toggles": (lambda: widgets.seed_toggles(comparison()), {0: False}),
}


@pytest.mark.parametrize(("make", "moves"), WIDGETS.values(), ids=list(WIDGETS))
def test_every_control_has_a_name_works_by_keyboard_and_redraws(make, moves):
    box = make()
    *controls, content, sentence = box.children
    for position, control in enumerate(controls):
        assert isinstance(control, KEYBOARD) and control.description
        before = (content.value, sentence.value)
        control.value = moves.get(position, control.value)
        assert position not in moves or (content.value, sentence.value) != before
    assert isinstance(content, ipywidgets.HTML) or bytes(content.value).startswith(b"\x89PNG")
    assert re.fullmatch(r"<p>.+</p>", sentence.value, re.DOTALL)


def test_text_from_a_view_is_escaped():
    box = widgets.explorer({"text": ipywidgets.Text(description="t")}, lambda text: ("", "<b> & more"))
    assert html.unescape(box.children[-1].value) == "<p><b> & more</p>" != box.children[-1].value


def test_show_displays_a_widget_and_leaves_its_sentence(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(lessons, "display", lambda bundle, **_: shown.append(bundle))
    box = widgets.layer_filter(LAYERS)
    lessons.show(box, "3 rows." + " more" * 30)
    assert shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id
    lines = shown[0]["text/plain"].splitlines()  # no word is torn at the edge of a page
    assert " ".join(lines) == "3 rows." + " more" * 30 and max(map(len, lines)) <= lessons.LINE
    assert capsys.readouterr().out == ""  # or a reader without the widget would see it twice
