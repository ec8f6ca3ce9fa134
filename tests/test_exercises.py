"""The exercises: their answers are right, their misconceptions wrong, and the notebooks ask what is checked."""

from __future__ import annotations

import json
from math import comb

import numpy as np
import pytest
import torch
from picture_sets import in_memory

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.targets import Target
from yolo_ft.data.augmentation.augment import augment
from yolo_ft.data.augmentation.paste import class_shares
from yolo_ft.data.augmentation.warp import warp_boxes
from yolo_ft.data.splits.split import split
from yolo_ft.data.statistics.distributions import js_distance
from yolo_ft.finetune.hyp import PRESETS
from yolo_ft.models import build_model
from yolo_ft.report import lessons
from yolo_ft.report.answers import same
from yolo_ft.report.exercises import EXERCISES

C3 = "model.4.m"
# exercise, right answer, two typical wrong answers with a word of the misconception that each must name
ANSWERS = [
    ("01.1", f"{C3}.1.cv2.conv.weight", (f"{C3}.2.cv2.conv.weight", "from 0"), (f"{C3}.1.cv1.conv.weight", "1×1")),
    ("01.2", 24, (9, "objectness"), (255, "80")),
    ("01.3", 81180, (80640, "bias"), (27060, "three anchors")),
    ("02.1", [10], (range(10), "number"), (list(range(11)), "[10]")),
    ("02.2", 2.0, (4.0, "cache"), (1.333, "1 / p")),
    ("02.3", 0.954, (1.0, "velocity"), (0.955, "decay")),
    ("03.1", 9, (8, "last"), (8.125, "whole")),
    ("03.2", 0.81, (0.9, "one step"), (0.8, "multiplies")),
    ("03.3", 10, (1, "velocity"), (0.9, "sum")),
    ("04.1", 1 / 3, (0.5, "one box"), (0.25, "twice")),
    ("04.2", 0.6, (0.75, "precision"), (0.625, "harmonic")),
    ("04.3", 0.835, (0.7222, "area"), (0.667, "end")),
    ("05.1", -0.0133, (0.0133, "sign"), (-0.04, "sum")),
    ("05.2", " Not decided ", ("confirmed", "five seeds"), ("not confirmed", "against")),
    ("05.3", 1.667, (3, "Only the step"), (1.8, "Times add")),
    ("06.1", 140, (70, "tenth"), (560, "trained")),
    ("06.2", 0.9984, (0.8, "four others"), (0.0015, "none")),
    ("06.3", 0.56, (0.311, "square root"), (0.464, "base 2")),
    ("09.1", [220, 280], ([280, 220], "left"), ([40, 100], "pixels moved")),
    ("09.2", 1.69, (1.302, "side"), (2.0, "45")),
    ("09.3", 65, (40, "already"), (58.3, "equally")),
    ("13.1", 17, (16, "n − 1"), (18, "YOLOv5")),
    ("13.2", 8400, (25200, "anchors"), (16800, "both heads")),
    ("13.3", (56, 32, 104, 64), ([48, 24, 96, 56], "centre"), ([24, 64, 72, 96], "swapped")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("exercise", "answer", "told"),
    [
        ("05.2", "not decided by this budget", "correct"),
        ("05.2", "Undecided.", "correct"),
        ("05.2", "decided", "not correct yet. hint"),
        ("06.1", "140", "give a number, without quotation marks"),
        ("13.3", "56, 32, 104, 64", "give a list, such as [1, 2], without quotation marks"),
        ("05.3", 1.7, "correct"),
        ("06.2", 0.8027, "four others"),
        ("06.2", 0.1973, "validate"),
        ("06.2", 0.4096, "One is enough"),
        ("06.2", 0.413, "One is enough"),
        ("13.1", 11, "backbone alone"),
        ("13.2", 2100, "320 pixels"),
        ("13.3", [104, 68, 120, 76], "distances"),
        ("13.3", [86, 54.5, 89, 56.5], "in cells"),
    ],
)
def test_other_ways_to_say_it_are_understood(exercise, answer, told, capsys):
    lessons.check(exercise, answer)
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(("exercise", "right", "wrong", "wrong_too"), ANSWERS)
def test_check_knows_the_right_answer_and_names_two_misconceptions(exercise, right, wrong, wrong_too, capsys):
    lessons.check(exercise, None)
    assert capsys.readouterr().out == f"{exercise}: not answered yet.\n"
    lessons.check(exercise, right)
    assert capsys.readouterr().out.startswith(f"{exercise}: correct. ")
    for answer, word in (wrong, wrong_too):
        lessons.check(exercise, answer)
        told = capsys.readouterr().out
        assert told.startswith(f"{exercise}: not correct. ") and word in told.replace("\n", " ")


def test_every_exercise_is_tested_and_three_belong_to_each_lesson():
    assert [row[0] for row in ANSWERS] == list(EXERCISES)
    numbers = dict.fromkeys(name[:2] for name in EXERCISES)
    assert list(EXERCISES) == [f"{lesson}.{k}" for lesson in sorted(numbers) for k in (1, 2, 3)]
    assert all(exercise.stars == int(name[-1]) for name, exercise in EXERCISES.items())


@pytest.mark.parametrize("answer", ["", "7", [], {}, object(), [None], float("nan"), True, np.zeros(3)])
@pytest.mark.parametrize("exercise", EXERCISES)
def test_no_answer_raises_and_none_of_these_is_right(exercise, answer, capsys):
    lessons.check(exercise, answer)
    assert "not correct" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_misconceptions_are_no_right_answers_and_differ(exercise):
    wrong = [answer for answer, _ in exercise.misconceptions]
    for k, answer in enumerate(wrong):
        assert not same(answer, exercise.answer, exercise.tolerance)
        assert not any(same(answer, other, exercise.tolerance) for other in wrong[k + 1 :])


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_the_notebook_asks_what_is_checked(exercise, repository):
    lesson = exercise.id[:2]
    for path in (repository / "notebooks").glob(f"{lesson}_*.ipynb"):
        cells = [("".join(cell["source"])) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        assert f"### {exercise.heading}\n\n{exercise.question}" in cells
        (asked,) = [cell for cell in cells if f'check("{exercise.id}", answer)' in cell]
        assert asked.startswith("answer = None")


def test_answers_of_lesson_01_are_what_the_network_says():
    names = dict(build_model("yolov5n", num_classes=3).named_parameters())
    assert names[EXERCISES["01.1"].answer].shape[2:] == (3, 3)
    assert not any(name.startswith("model.4.m.2.") for name in names)
    assert names["model.24.m.0.weight"].shape[0] == EXERCISES["01.2"].answer
    counts = {nc: sum(p.numel() for p in build_model("yolov5n", nc).parameters()) for nc in (80, 20)}
    assert counts[80] - counts[20] == EXERCISES["01.3"].answer


def test_answers_of_lesson_13_are_what_the_network_says():
    model = build_model("yolo26n", num_classes=1)
    assert model.layers[EXERCISES["13.1"].answer - 1].name == "N3 out"
    maps = [torch.zeros(1, 5, 640 // stride, 640 // stride) for stride in model.strides]
    maps[1][0, :4, 3, 5] = torch.tensor([2.0, 1.5, 1.0, 0.5])
    boxes = model.decode(maps)[0, :, :4]
    assert len(boxes) == EXERCISES["13.2"].answer
    x1, y1, x2, y2 = EXERCISES["13.3"].answer
    expected = torch.tensor([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
    torch.testing.assert_close(boxes[80 * 80 + 3 * 40 + 5], expected)


def test_answer_of_02_3_is_what_the_optimiser_does():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.01)
    optimizer.state[weight]["momentum_buffer"] = torch.tensor([0.5])
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(EXERCISES["02.3"].answer, abs=1e-6)


def test_answer_of_03_3_is_what_the_optimiser_does_and_nesterov_has_another(capsys):
    for nesterov, told in ((False, "correct."), (True, "not correct. That is Nesterov's step")):
        weight = torch.nn.Parameter(torch.tensor([0.0]))
        optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9, nesterov=nesterov)
        steps = []
        for _ in range(200):
            before, weight.grad = weight.item(), torch.ones(1)
            optimizer.step()
            steps.append(before - weight.item())
        lessons.check("03.3", round(steps[-1] / steps[0], 2))
        assert capsys.readouterr().out.startswith(f"03.3: {told}")
    lessons.check("03.3", 0.1)
    assert "inverse" in capsys.readouterr().out


def test_answers_of_lesson_06_are_what_the_data_workshop_says():
    made = split(in_memory([np.zeros((32, 32, 3), np.uint8)] * 700, [Target([[1, 1, 9, 9]], [0])] * 700))
    assert len(made.val) == EXERCISES["06.1"].answer
    none = comb(59, 4) / comb(299, 4)  # the four other frames are all in validation
    assert 1 - none == pytest.approx(EXERCISES["06.2"].answer, abs=1e-4)
    assert js_distance([1, 1], [1, 0]) == pytest.approx(EXERCISES["06.3"].answer, abs=1e-3)


def test_answers_of_lesson_09_are_what_the_augmentation_does():
    dataset = in_memory([np.zeros((240, 320, 3), np.uint8)], [Target([[40, 100, 100, 150]], [0])])
    flipped = augment(dataset, 0, TrainConfig(**PRESETS["none"] | {"fliplr": 1.0}), 0, 0)[1]
    assert flipped.boxes[0, [0, 2]].tolist() == EXERCISES["09.1"].answer
    cos, sin = np.cos(np.radians(22)), np.sin(np.radians(22))
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    x1, y1, x2, y2 = warp_boxes(np.array([[-10, -10, 10, 10]], np.float32), turn)[0]
    assert (x2 - x1) * (y2 - y1) / 400 == pytest.approx(EXERCISES["09.2"].answer, abs=1e-3)
    assert 25 + 100 * class_shares({0: 100, 1: 25, 2: 20})[1] == pytest.approx(EXERCISES["09.3"].answer)


@pytest.mark.parametrize(
    ("given", "expected", "agree"),
    [
        (np.float32(2.0), 2.0, True),
        (torch.tensor(2.0), 2, True),
        (True, 1, False),
        ("2", 2, False),
        ((10,), [10], True),
        (np.array([10]), [10], True),
        ({10}, [10], False),
        ([10, 11], [10], False),
        ("[10]", [10], False),
        (3, "3", False),
    ],
)
def test_same(given, expected, agree):
    assert same(given, expected) is agree
