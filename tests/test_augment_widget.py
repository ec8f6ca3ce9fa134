"""Lesson 09's explorer: one setting acts at a time, what is told is counted, everything works without a mouse."""

from __future__ import annotations

import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from picture_sets import coloured, in_memory, photograph, rectangles

from yolo_ft.core.config import RANGES
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.finetune.hyp import AUGMENTATION
from yolo_ft.report.augment_widget import FULL, alone, augment_explorer, augment_view, median_area


def told(figure_and_sentence):
    figure, sentence = figure_and_sentence
    assert isinstance(figure, Figure)
    return sentence


def test_an_image_without_objects_is_no_mistake():
    empty = in_memory([photograph(40, 64)], [Target()])
    assert told(augment_view(empty, 0, "degrees", 0.5, imgsz=64)).endswith("0 boxes without, 0 with it.")


def test_every_setting_can_be_turned_and_stays_in_its_range():
    assert set(FULL) == set(AUGMENTATION)
    for setting, full in FULL.items():
        low, high = RANGES.get(setting, (0, 90))
        assert low < full <= high
        changed = {name for name in AUGMENTATION if getattr(alone(setting, full), name)}
        assert changed - {"mosaic"} == {setting} - {"mosaic"} and (setting in ("mosaic", "mixup")) == (
            "mosaic" in changed
        )
    with pytest.raises(UserError, match="did you mean 'degrees'"):
        alone("degree", 1.0)


def test_what_is_told_is_counted():
    # a square of 20 x 20 in the middle, turned by up to 45 degrees: its box grows to at most twice the area
    square = in_memory([rectangles(64, 64, [(22, 22, 42, 42)], [0])], [Target([[22, 22, 42, 42]], [0])])
    assert median_area(square.target(0)) == 400
    assert told(augment_view(square, 0, "degrees", 0.0, imgsz=64)) == (
        "degrees = 0 (default 0), draw 0: 1 boxes without, 1 with it; the median box covers 1.00 times the area."
    )
    grown = [float(told(augment_view(square, 0, "degrees", 0.5, draw, 64)).split()[-4]) for draw in range(12)]
    assert 1 <= min(grown) < 1.5 < max(grown) <= 2 and len(set(grown)) > 6
    assert told(augment_view(coloured(4), 0, "mosaic", 1.0, 0, 64)).startswith(
        "mosaic = 1 (default 1), draw 0: 2 boxes"
    )


def test_every_control_works_by_keyboard_and_redraws():
    box = augment_explorer(coloured(4), imgsz=64)
    *controls, picture, sentence = box.children
    for control, value in zip(controls, ("shear", 0.9, 3), strict=True):
        assert isinstance(control, ipywidgets.Dropdown | ipywidgets.FloatSlider | ipywidgets.IntSlider)
        before = bytes(picture.value), sentence.value
        control.value = value
        assert (bytes(picture.value), sentence.value) != before and control.description
    assert bytes(picture.value).startswith(b"\x89PNG") and "shear = 27" in sentence.value
    assert np.isclose(controls[1].max, 1)
