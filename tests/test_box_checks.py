"""Suspicious boxes, each made by hand: which are named, with which line, and which are left in peace."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from picture_sets import in_memory, photograph, write_set

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Detections, Target
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.boxes import box_findings, unlabelled_findings
from yolo_ft.data.dataset import load_splits

HEIGHT, WIDTH = 100, 200


def one_image(boxes, labels=None):
    """A data set of one image with these boxes (xyxy pixels of 200 x 100)."""
    target = Target(boxes, [0] * len(boxes) if labels is None else labels)
    return in_memory([photograph(HEIGHT, WIDTH)], [target], 3)


def named(boxes, labels=None, imgsz=200) -> list[str]:
    return [case.kind.name for case in box_findings("train", one_image(boxes, labels), imgsz)]


def test_no_box_and_ordinary_boxes():
    assert named([]) == []
    assert named([[10, 10, 50, 40], [12, 20, 60, 40], [100, 30, 150, 90]]) == []


def test_tiny_is_measured_at_the_training_size():
    box = [[20, 20, 30, 24]]  # 10 x 4 pixels of an image whose long side is 200
    assert named(box, imgsz=200) == [] and named(box, imgsz=150) == []  # 4 and exactly 3 pixels
    (case,) = box_findings("train", one_image(box), 140)
    assert case.kind is kinds.TINY and case.reason == "class0 is 7.0 x 2.8 pixels when trained at 140"
    assert case.boxes == ((20, 20, 30, 24),) and case.place == ("train", 0) and case.line is None


def test_the_whole_image_and_extreme_ratios():
    assert named([[0, 0, 200, 94]]) == ["boxes at the image edge"]
    assert named([[1, 1, 199, 99]]) == ["box over the whole image"]
    assert named([[10, 10, 90, 14]]) == []  # 20 to 1
    assert named([[10, 10, 91, 14]]) == ["extreme aspect ratio"]
    assert named([[10, 10, 14, 95]]) == ["extreme aspect ratio"]


@pytest.mark.parametrize(("labels", "kind"), [([0, 0], "box drawn twice"), ([0, 1], "one box, two classes")])
def test_nearly_the_same_box(labels, kind):
    assert named([[20, 20, 60, 60], [20, 20, 60, 57]], labels) == [kind]  # IoU 37 / 40 = 0.925
    assert named([[20, 20, 60, 60], [20, 20, 60, 56]], labels) == []  # IoU 0.9, not above
    (case,) = box_findings("train", one_image([[20, 20, 60, 60], [20, 20, 60, 57]], labels), 200)
    assert "IoU 0.93" in case.reason or "IoU 0.92" in case.reason
    assert case.boxes == ((20, 20, 60, 60), (20, 20, 60, 57))


def test_boxes_at_the_edge_are_one_note():
    boxes = [[0, 10, 30, 40], [100, 50, 150, 100], [199, 0, 200, 60], [60, 60, 90, 90]]
    (case,) = [c for c in box_findings("val", one_image(boxes), 200) if c.kind is kinds.AT_EDGE]
    assert case.reason == "3 of 4 boxes touch an edge of their image" and case.split == "val"


def test_lines_of_the_label_file_and_boxes_over_the_edge(tmp_path):
    text = "0 0.5 0.5 0.2 0.2\n\n0 0.5 0.5 0.2 0.2\n1 0.95 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.19\n"
    file = write_set(tmp_path, {"a.png": text}, size=(HEIGHT, WIDTH))
    cases = box_findings("train", load_splits(file)["train"], 200)
    assert [(c.kind.name, c.line) for c in cases[:2]] == [("box over the edge", 4), ("box drawn twice", 5)]
    assert cases[0].reason == "dog reaches 10 pixels over the edge" and cases[0].boxes == ((170, 40, 210, 60),)
    assert cases[2].kind is kinds.AT_EDGE and len(cases) == 3


def test_rounding_at_the_edge_is_no_finding(tmp_path):
    file = write_set(tmp_path, {"a.png": "0 0.9 0.5 0.208 0.2\n"}, size=(HEIGHT, WIDTH))  # 0.8 pixels too far
    assert [c.kind for c in box_findings("train", load_splits(file)["train"], 200)] == [kinds.AT_EDGE]


def test_a_leftover_label_file_is_not_believed(tmp_path):
    file = write_set(tmp_path, {"a.png": "0 0.95 0.5 0.2 0.2\n"}, size=(HEIGHT, WIDTH))
    dataset = load_splits(file)["train"]
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.001 0.2\n", encoding="utf-8")
    assert [(c.kind, c.line) for c in box_findings("train", dataset, 200)] == [(kinds.AT_EDGE, None)]


def detector(*rows: tuple[list[float], float, int], names=("class0", "class1", "other")) -> SimpleNamespace:
    """A model that always answers with these (box, score, class)."""
    boxes, scores, labels = (list(column) for column in zip(*rows, strict=True))
    answer = Detections(boxes, scores, labels)
    return SimpleNamespace(names=dict(enumerate(names)), predict=lambda image, conf, imgsz: [answer])


def test_confident_detections_without_a_label():
    model = detector(
        ([100, 10, 140, 50], 0.7, 0),  # nothing there
        ([10, 10, 50, 48], 0.9, 1),  # on a label: another class is no missing label
        ([100, 60, 120, 90], 0.9, 1),
        ([150, 60, 190, 90], 0.4, 0),  # not sure
        ([60, 60, 90, 90], 0.9, 2),  # a class that the data set does not have
    )
    cases = unlabelled_findings("train", one_image([[10, 10, 50, 50]]), model, 200)
    assert [case.reason for case in cases] == [
        "the model sees class1 (score 0.90) where no box is",
        "the model sees class0 (score 0.70) where no box is",
    ]
    assert cases[0].boxes == ((100, 60, 120, 90),) and cases[0].kind is kinds.UNLABELLED
    assert len(unlabelled_findings("train", one_image(np.zeros((0, 4))), model, 200)) == 3


def test_a_model_of_other_classes_is_refused_with_both_lists_shortened():
    model = detector(([100, 10, 140, 50], 0.7, 0), names=[f"thing {n}" for n in range(80)])
    with pytest.raises(UserError) as error:
        unlabelled_findings("train", one_image([[10, 10, 50, 50]]), model, 200)
    message = str(error.value)
    assert "class0, class1, class2" in message and "only thing 0, thing 1, " in message and len(message) < 300
