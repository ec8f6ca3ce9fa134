"""Average precision against cases small enough to work out by hand, and against YOLOv5's own numbers."""

import math

import numpy as np
import pytest

from tests.helpers import load_fixture
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Detections, Target
from yolo_ft.finetune.metrics import MAX_DETECTIONS, evaluate_detections

WIDE = [10, 20, 110, 45]  # 100 x 25 pixels
TALL = [200, 5, 230, 205]  # 30 x 200 pixels
NAMES = {0: "cat", 1: "dog"}


def target(*rows):
    """Rows (class, box)."""
    return Target([box for _, box in rows], [label for label, _ in rows])


def found(*rows):
    """Rows (class, score, box)."""
    return Detections([box for *_, box in rows], [score for _, score, _ in rows], [label for label, *_ in rows])


def test_no_images():
    with pytest.raises(UserError, match="no image"):
        evaluate_detections([], [], NAMES)


def test_no_object_anywhere_is_undefined_and_says_so():
    with pytest.warns(UserWarning, match="undefined"):
        metrics = evaluate_detections([Target()], [found((0, 0.9, WIDE))], NAMES)
    assert math.isnan(metrics.map50) and math.isnan(metrics.map50_95) and math.isnan(metrics.confidence)
    assert metrics.curves == {}
    assert metrics.to_dict()["per_class"] == {}


def test_no_classes():
    with pytest.warns(UserWarning, match="undefined"):
        assert math.isnan(evaluate_detections([Target()], [Detections()], {}).map50)


def test_no_detections_score_zero():
    metrics = evaluate_detections([target((0, WIDE))], [Detections()], NAMES)
    assert (metrics.map50, metrics.map50_95, metrics.precision, metrics.recall, metrics.confidence) == (0, 0, 0, 0, 0)


def test_perfect_detection_is_exactly_one():
    metrics = evaluate_detections([target((0, WIDE))], [found((0, 0.75, WIDE))], {0: "cat"})
    assert metrics.map50 == metrics.map50_95 == metrics.precision == metrics.recall == 1.0
    assert metrics.confidence == 0.75
    assert repr(metrics) == "Metrics(map50=1.000, map50_95=1.000, precision=1.000, recall=1.000 at confidence 0.750)"
    curve = metrics.curves["cat"]
    assert curve.recall.shape == curve.precision.shape == curve.confidence.shape == (101,)
    assert (curve.precision == 1).all() and (curve.confidence == 0.75).all()


def test_false_positive_above_true_positive():
    # Precision is 0/1 and then 1/2 at recall 1/2: 0.5 at recall points 0, 0.01 … 0.50 (51 of 101), 0 at the others.
    truth = target((0, WIDE), (0, TALL))
    metrics = evaluate_detections([truth], [found((0, 0.9, [300, 300, 320, 320]), (0, 0.8, WIDE))], {0: "cat"})
    assert metrics.map50 == pytest.approx(0.5 * 51 / 101, abs=1e-12)
    assert metrics.map50_95 == pytest.approx(0.5 * 51 / 101, abs=1e-12)
    assert (metrics.precision, metrics.recall) == (0.5, 0.5)
    assert metrics.confidence == pytest.approx(0.8)


def test_iou_thresholds_on_non_square_boxes():
    # 72 of 100 pixels of width, the height exact: IoU 0.72 passes .50 .55 .60 .65 .70 and fails the other five.
    shifted = [10, 20, 82, 45]
    metrics = evaluate_detections([target((0, WIDE))], [found((0, 0.9, shifted))], {0: "cat"})
    assert metrics.map50 == 1.0
    assert metrics.map50_95 == pytest.approx(0.5)
    # The same with the height cut, and with width and height exchanged, which must not match.
    cut = [200, 5, 230, 149]
    assert evaluate_detections([target((0, TALL))], [found((0, 0.9, cut))], {0: "cat"}).map50_95 == pytest.approx(0.5)
    exchanged = [115, 90, 315, 120]
    assert evaluate_detections([target((0, TALL))], [found((0, 0.9, exchanged))], {0: "cat"}).map50 == 0


def test_two_classes_at_one_confidence():
    # cat: found at 0.9. dog: one of two found at 0.6, below a false positive at 0.7, so precision 1/2 to recall 1/2.
    truths = [target((0, WIDE), (1, TALL)), target((1, WIDE))]
    detections = [found((0, 0.9, WIDE), (1, 0.6, TALL)), found((1, 0.7, TALL))]
    metrics = evaluate_detections(truths, detections, NAMES)
    table = metrics.per_class
    assert list(table.index) == ["cat", "dog"]
    assert table["ap50"].tolist() == [1.0, pytest.approx(0.5 * 51 / 101)]
    assert table["images"].tolist() == [1, 2]
    assert table["instances"].tolist() == [1, 2]
    assert metrics.map50 == pytest.approx((1 + 0.5 * 51 / 101) / 2)
    assert metrics.confidence == pytest.approx(0.6)  # mean F1 is (1 + .5) / 2 there, only (1 + 0) / 2 at 0.9
    assert table["precision"].tolist() == [1.0, 0.5]
    assert table["recall"].tolist() == [1.0, 0.5]
    assert (metrics.precision, metrics.recall) == (0.75, 0.75)


def test_second_detection_of_one_object_is_false():
    truths = [target((0, WIDE), (0, TALL))]
    detections = [found((0, 0.9, WIDE), (0, 0.8, WIDE), (0, 0.7, TALL))]
    # Precision 1 to recall 1/2, then 2/3 to recall 1: 51 points at 1 and 50 at 2/3.
    assert evaluate_detections(truths, detections, NAMES).map50 == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_absent_class_is_left_out_of_the_means():
    truths, detections = [target((0, WIDE))], [found((0, 0.9, WIDE), (1, 0.99, TALL))]
    metrics = evaluate_detections(truths, detections, NAMES)
    assert metrics.map50 == metrics.map50_95 == metrics.precision == metrics.recall == 1.0
    absent = metrics.per_class.loc["dog"]
    assert absent["images"] == absent["instances"] == 0
    assert absent[["ap50", "ap50_95", "precision", "recall"]].isna().all()
    assert list(metrics.curves) == list(metrics.to_dict()["per_class"]) == ["cat"]


def test_images_without_objects_count():
    truths, detections = [target((0, WIDE)), Target()], [found((0, 0.8, WIDE)), found((0, 0.9, WIDE))]
    assert evaluate_detections(truths, detections, NAMES).map50 == pytest.approx(0.5)
    assert evaluate_detections(truths, [detections[0], Detections()], NAMES).map50 == 1.0


def test_class_indices_need_not_be_dense():
    metrics = evaluate_detections([target((7, WIDE))], [found((7, 0.9, WIDE))], {2: "ant", 7: "bee"})
    assert metrics.map50 == 1.0
    assert metrics.per_class["instances"].to_dict() == {"ant": 0, "bee": 1}


def test_large_boxes_count():
    sky = [0, 0, 300_000, 200_000]  # above the 1e10 square pixels of the usual "all" range
    assert evaluate_detections([target((0, sky))], [found((0, 0.9, sky))], NAMES).map50 == 1.0


def test_at_most_300_detections_per_image():
    miss = [(0, 0.9 - i / 1e4, [500, 500, 510, 510]) for i in range(MAX_DETECTIONS)]
    metrics = evaluate_detections([target((0, WIDE))], [found(*miss, (0, 0.1, WIDE))], NAMES)
    assert metrics.map50 == 0
    metrics = evaluate_detections([target((0, WIDE))], [found(*miss[1:], (0, 0.1, WIDE))], NAMES)
    assert metrics.map50 == pytest.approx(1 / MAX_DETECTIONS)


def test_user_mistakes():
    with pytest.raises(UserError, match="1 labelled images but detections for 2"):
        evaluate_detections([Target()], [Detections(), Detections()], NAMES)
    with pytest.raises(UserError, match="label has class 5"):
        evaluate_detections([target((5, WIDE))], [Detections()], NAMES)
    with pytest.raises(UserError, match="detection has class 2"):
        evaluate_detections([target((0, WIDE))], [found((2, 0.5, WIDE))], NAMES)


def test_nothing_is_printed(capfd):
    evaluate_detections([target((0, WIDE))], [found((0, 0.9, WIDE))], NAMES)
    assert capfd.readouterr() == ("", "")


def yolov5_case():
    """The images of the YOLOv5 fixture, and what YOLOv5 computes for them."""
    case = load_fixture("yolov5_misc")["map"]
    labels = [np.array(image["labels"]).reshape(-1, 5) for image in case["images"]]
    rows = [np.array(image["detections"]).reshape(-1, 6) for image in case["images"]]
    truths = [Target(each[:, 1:], each[:, 0]) for each in labels]
    return truths, [Detections(each[:, :4], each[:, 4], each[:, 5]) for each in rows], case


def test_close_to_yolov5():
    """YOLOv5 joins the points of the curve by straight lines, up to (recall 1, precision 0), where COCO takes the next
    point's precision, and gives a contested object to the best overlap instead of the best score. With 4 to 11 objects
    per class that is worth up to 0.03 AP; the difference shrinks as the points get denser."""
    truths, detections, case = yolov5_case()
    metrics = evaluate_detections(truths, detections, {0: "a", 1: "b", 2: "c"})
    theirs = np.array(case["ap"])  # (class, IoU threshold)
    np.testing.assert_allclose(metrics.per_class["ap50"], theirs[:, 0], atol=0.03)
    np.testing.assert_allclose(metrics.per_class["ap50_95"], theirs.mean(1), atol=0.03)
    assert metrics.map50 == pytest.approx(case["mean_p_r_map50_map"][2], abs=0.03)
    assert metrics.map50_95 == pytest.approx(case["mean_p_r_map50_map"][3], abs=0.03)


def test_order_of_images_and_of_detections_does_not_matter():
    truths, detections, _ = yolov5_case()
    names = {0: "a", 1: "b", 2: "c"}
    expected = evaluate_detections(truths, detections, names)
    rng = np.random.default_rng(0)
    for _ in range(3):
        order = rng.permutation(len(truths))
        shuffled = [detections[i].keep(rng.permutation(len(detections[i]))) for i in order]
        metrics = evaluate_detections([truths[i] for i in order], shuffled, names)
        assert metrics.to_dict() == expected.to_dict()


def test_curves_agree_with_ap():
    truths, detections, _ = yolov5_case()
    metrics = evaluate_detections(truths, detections, {0: "a", 1: "b", 2: "c"})
    for name, curve in metrics.curves.items():
        assert curve.precision.mean() == pytest.approx(metrics.per_class.loc[name, "ap50"], abs=1e-12)
        assert (np.diff(curve.precision) <= 0).all() and (np.diff(curve.confidence) <= 0).all()


def test_confidence_maximises_mean_f1():
    """Brute force over every threshold: no other one has a better class-mean F1 on the curves."""
    truths, detections, _ = yolov5_case()
    metrics = evaluate_detections(truths, detections, {0: "a", 1: "b", 2: "c"})

    def mean_f1(threshold):
        values = []
        for curve in metrics.curves.values():
            usable = (curve.confidence >= threshold) & (curve.precision > 0)
            p, r = (curve.precision[usable][-1], curve.recall[usable][-1]) if usable.any() else (0, 0)
            values.append(2 * p * r / (p + r) if p + r else 0)
        return np.mean(values)

    scores = np.concatenate([each.scores for each in detections])
    assert mean_f1(metrics.confidence) == pytest.approx(max(mean_f1(score) for score in scores))
    f1 = 2 * metrics.per_class["precision"] * metrics.per_class["recall"]
    assert (f1 / (metrics.per_class["precision"] + metrics.per_class["recall"])).mean() == pytest.approx(
        mean_f1(metrics.confidence)
    )
