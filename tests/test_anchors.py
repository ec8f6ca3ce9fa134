"""AutoAnchor: recall by hand, evolution that helps, and no change where none is needed."""

import numpy as np
import pytest
import torch
from picture_sets import in_memory

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.seeding import generator
from yolo_ft.core.targets import Target
from yolo_ft.finetune.anchors import best_possible_recall, box_sizes, evolve_anchors, fit_anchors
from yolo_ft.models import build_model


def dataset(sizes, height=200, width=400):
    targets = [Target(np.array([[0, 0, w, h]], np.float32), [0]) for w, h in sizes]
    return in_memory([np.zeros((height, width, 3), np.uint8)] * len(targets), targets, classes=1)


def test_recall_of_nothing_is_one():
    assert best_possible_recall(np.zeros((0, 2)), np.ones((9, 2)), 4.0) == 1.0


def test_recall_by_hand():
    sizes = np.array([[10, 10], [39, 10], [41, 10], [10, 2.4]])
    assert best_possible_recall(sizes, np.array([[10.0, 10.0]]), 4.0) == 0.5


def test_sizes_are_in_pixels_of_the_training_size():
    assert box_sizes(dataset([(40, 20), (400, 200)]), 100).tolist() == [[10, 5], [100, 50]]
    assert box_sizes(dataset([]), 100).shape == (0, 2)


def test_anchors_that_fit_stay():
    model = build_model("yolov5n", 1)
    before = model.head.anchors.clone()
    data = dataset([(40, 40), (80, 60), (100, 90)] * 10)
    assert fit_anchors(model, data, TrainConfig(imgsz=400)) is None
    assert torch.equal(model.head.anchors, before)


def test_anchors_that_miss_are_replaced_and_reach_more():
    model = build_model("yolov5n", 1)
    rng = np.random.default_rng(0)
    sizes = np.column_stack([rng.uniform(150, 390, 60), rng.uniform(3, 8, 60)])  # long thin boxes
    found = fit_anchors(model, dataset(sizes), TrainConfig(imgsz=400))
    assert found["recall_before"] < 0.5 and found["recall_after"] > 0.98
    areas = (model.head.anchors * torch.tensor(model.strides).view(3, 1, 1)).prod(-1).flatten()
    assert (areas.diff() >= 0).all()


def test_evolution_is_a_function_of_the_seed():
    sizes = np.random.default_rng(1).uniform(5, 100, (50, 2))
    a, b = (evolve_anchors(sizes, 9, 4.0, generator(7, 2), rounds=50) for _ in range(2))
    assert a.shape == (9, 2) and np.array_equal(a, b)
    assert a.mean() == pytest.approx(sizes.mean(), rel=0.5)
