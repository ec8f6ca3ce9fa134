"""The report of a split: shares by hand, what is missing, and leaks that were planted."""

from __future__ import annotations

import numpy as np
import pytest
from picture_sets import in_memory

from yolo_ft.core.targets import Target
from yolo_ft.data.splits.report import ALL, BACKGROUND, split_report
from yolo_ft.data.splits.split import Split


def with_labels(*labels: list[int]):
    """A set of black images with objects of these classes (three classes)."""
    targets = [Target([[1, 1, 9, 9]] * len(found), found) for found in labels]
    return in_memory([np.zeros((20, 30, 3), np.uint8)] * len(targets), targets, classes=3)


def parts(*numbers: list[int]) -> dict[str, np.ndarray]:
    return dict(zip(("train", "val", "test"), map(np.array, numbers), strict=False))


def test_nothing():
    report = split_report(with_labels(), {"train": np.zeros(0, np.int64), "val": np.zeros(0, np.int64)})
    assert report.table.loc[ALL, "images"] == 0 and report.leaks.empty and np.isnan(report.worst)
    assert "No class has an image for every split" in str(report)


def test_shares_are_those_of_a_calculation_by_hand():
    dataset = with_labels([0, 0, 0], [0, 1], [0], [], [1])
    report = split_report(dataset, parts([0, 1, 3], [2, 4]))
    table = report.table
    assert table.index.tolist() == ["class0", "class1", "class2", BACKGROUND, ALL]
    assert table["images"].tolist() == [3, 2, 0, 1, 5] and table["boxes"].tolist() == [5, 2, 0, 0, 7]
    np.testing.assert_allclose(table["train images"], [2 / 3, 1 / 2, np.nan, 1, 3 / 5])
    np.testing.assert_allclose(table["train boxes"], [4 / 5, 1 / 2, np.nan, np.nan, 5 / 7])
    np.testing.assert_allclose(table["val images"], [1 / 3, 1 / 2, np.nan, 0, 2 / 5])
    np.testing.assert_allclose(table["val boxes"], [1 / 5, 1 / 2, np.nan, np.nan, 2 / 7])
    np.testing.assert_allclose(table["deviation"], [0.2, 0.1, np.nan, 0.4, 5 / 7 - 0.6])
    assert report.worst == pytest.approx(0.2), "two fifths of one background image is none"
    text = str(report)
    assert text.startswith("train 3 images (60.0%), val 2 images (40.0%); as given.")
    assert "Largest deviation 20.0%: train holds 80.0% of the 5 boxes of class0, and 60.0% of all images." in text
    assert "No image at all shows class2: label some, or remove the class." in text
    assert "Leakage was not looked for" in text


def test_missing_classes_are_named_with_the_mend():
    report = split_report(with_labels([0], [0], [1, 2], [0]), parts([2, 3], [0], [1]))
    assert report.missing == {"train": [], "val": ["class1", "class2"], "test": ["class1", "class2"]}
    assert "Not in val: class1 (1 images), class2 (1 images): its accuracy is not measured." in str(report)
    assert "or use folds" not in str(report), "it may be the report of a fold"
    assert str(report).count("Label more images, or average over folds.") == 2
    report = split_report(with_labels([0], [1]), parts([0], [1]))
    assert "Not in train: class1 (1 images): nothing can be learned about it." in str(report)


def test_planted_leaks_are_found_and_counted():
    made = Split(with_labels(*[[0]] * 9), parts([0, 1, 2, 3], [4, 5, 6], [7, 8]), groups=list("aabcadcdd"))
    leaks = made.report().leaks
    assert leaks.index.tolist() == ["a", "d", "c"] or leaks.index.tolist() == ["a", "c", "d"]
    assert leaks.loc["a"].tolist() == [2, 1, 0]
    assert leaks.loc["c"].tolist() == [1, 1, 0] and leaks.loc["d"].tolist() == [0, 1, 2]
    assert "LEAKAGE: 3 groups (given values) are in several splits" in str(made.report())
    assert "Keep them together: split with these groups, and share the test images out anew" in str(made.report())
    named = Split(made.dataset, made.indices, made.groups, by="patient")
    assert "groups (patient)" in str(named.report()) and "--group patient" in str(named.report())
    assert "No leakage" in str(made.report(list("aaaabbbcc"))), "other groups than its own"
    assert len(made.report("image").leaks) == 1, "a pattern that all names match makes one group"
    assert "LEAKAGE: 1 groups (near-duplicates)" not in str(made.report("near-duplicates")), "black is like nothing"


def test_only_images_that_are_used_count():
    """A fold in time leaves out what is newer than its validation images."""
    report = split_report(with_labels([0], [0], [1], [1]), parts([0], [1]))
    assert report.table.loc[ALL, "images"] == 2 and report.missing == {"train": [], "val": []}


def test_classes_of_one_name_stay_apart():
    dataset = with_labels([0], [1], [2])
    dataset.names = {0: "cat", 1: "dog", 2: "cat"}
    assert split_report(dataset, parts([0, 2], [1])).table.index[:3].tolist() == ["cat (0)", "dog", "cat (2)"]
