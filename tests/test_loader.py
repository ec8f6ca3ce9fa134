"""Batches: order, layout, and the same bytes whatever the workers."""

from __future__ import annotations

import threading
from itertools import islice

import numpy as np
import pytest
import torch
from picture_sets import coloured, in_memory, photograph

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.dataset import load_dataset
from yolo_ft.data.loader import EvalLoader, TrainLoader, collate


def settings(**changes) -> TrainConfig:
    return TrainConfig(**{"imgsz": 64, "batch": 4, "workers": 0, **changes})


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("yolo_ft-loader")]


def same(a, b) -> bool:
    return torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets) and a.indices == b.indices


def test_a_set_without_images():
    empty = in_memory([], [])
    with pytest.raises(UserError, match="no image to train on"):
        TrainLoader(empty, settings())
    assert len(EvalLoader(empty, 64)) == 0 and list(EvalLoader(empty, 64)) == []


def test_collate_by_hand():
    wide, empty = np.zeros((20, 40, 3), np.uint8), np.zeros((20, 40, 3), np.uint8)
    wide[0, 1] = (7, 8, 9)
    batch = collate([(empty, Target()), (wide, Target([[10, 5, 30, 15], [0, 0, 40, 20]], [2, 1]))], [5, 3])
    assert batch.images.shape == (2, 3, 20, 40) and batch.images.dtype == torch.uint8
    assert batch.images[1, :, 0, 1].tolist() == [7, 8, 9]
    assert batch.targets.dtype == torch.float32 and batch.indices == [5, 3] and batch.letterboxes is None
    expected = [[1, 2, 0.5, 0.5, 0.5, 0.5], [1, 1, 0.5, 0.5, 1, 1]]
    torch.testing.assert_close(batch.targets, torch.tensor(expected))
    assert collate([(empty, Target())], [0]).targets.shape == (0, 6)


def test_every_image_once_per_epoch_in_an_order_of_its_own():
    loader = TrainLoader(coloured(10), settings())
    assert len(loader) == 3
    first, second = ([batch.indices for batch in loader.epoch(epoch)] for epoch in (0, 1))
    assert [len(group) for group in first] == [4, 4, 2]  # the partial batch is kept
    assert sorted(sum(first, [])) == list(range(10)) and sorted(sum(second, [])) == list(range(10))
    assert first != second and sum(first, []) != list(range(10))
    assert sum(first, []) == TrainLoader(coloured(10), settings(workers=2, batch=3)).order(0)
    assert loader.order(0) != TrainLoader(coloured(10), settings(seed=1)).order(0)


def test_the_batch_is_capped_to_the_set():
    loader = TrainLoader(coloured(3), settings(batch=64))
    assert len(loader) == 1
    assert [len(batch) for batch in loader.epoch(0)] == [3]


def test_targets_are_those_of_the_pixels():
    loader = TrainLoader(coloured(6), settings())
    for batch in loader.epoch(0):
        rows = batch.targets
        assert len(rows) and set(rows[:, 0].tolist()) <= set(range(len(batch)))
        low, high = rows[:, 2:4] - rows[:, 4:] / 2, rows[:, 2:4] + rows[:, 4:] / 2
        assert (low >= -1e-6).all() and (high <= 1 + 1e-6).all() and (rows[:, 4:] > 0).all()
        assert batch.images.is_contiguous() and batch.letterboxes is None


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("mosaic", [True, False])
def test_the_same_bytes_whatever_the_workers(workers, mosaic):
    dataset = coloured(11)
    one = list(TrainLoader(dataset, settings(mixup=0.5)).epoch(2, mosaic))
    other = list(TrainLoader(dataset, settings(mixup=0.5, workers=workers)).epoch(2, mosaic))
    assert len(one) == len(other) == 3 and all(map(same, one, other))
    assert not loader_threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_can_begin_in_the_middle(workers):
    loader = TrainLoader(coloured(10), settings(workers=workers))
    whole = list(loader.epoch(1))
    assert all(map(same, whole[2:], loader.epoch(1, start=2))) and list(loader.epoch(1, start=3)) == []


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_abandoned_iterator_leaves_no_thread(workers):
    iterator = TrainLoader(coloured(12), settings(batch=1, workers=workers)).epoch(0)
    assert len(list(islice(iterator, 2))) == 2
    assert bool(loader_threads()) == bool(workers)
    iterator.close()
    assert not loader_threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_reaches_the_caller_at_its_batch(workers):
    dataset = coloured(8)

    def target(index, original=dataset.target):
        if index == broken:
            raise RuntimeError("no such target")
        return original(index)

    loader = TrainLoader(dataset, settings(batch=2, workers=workers, mosaic=0.0))
    broken = loader.order(0)[5]  # in the third batch
    dataset.target = target
    iterator = loader.epoch(0)
    assert len(list(islice(iterator, 2))) == 2
    with pytest.raises(RuntimeError, match="no such target"):
        next(iterator)
    assert not loader_threads()


def test_cache_none_keeps_nothing():
    dataset = coloured(4)
    list(TrainLoader(dataset, settings(cache="none")).epoch(0))
    assert dataset.cache.used == 0
    list(TrainLoader(dataset, settings(cache="ram")).epoch(0))
    assert dataset.cache.used == sum(dataset.resized(i, 64).nbytes for i in range(4))


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_batches_lead_back_to_the_original_image(workers):
    sizes = [(48, 80), (200, 100), (30, 30), (64, 64), (31, 77)]
    targets = [Target([[3, 5, 20, 25]] * n, range(n)) for n in (1, 0, 2, 3, 1)]
    dataset = in_memory([photograph(*size, i) for i, size in enumerate(sizes)], targets)
    loader = EvalLoader(dataset, 64, batch=2, workers=workers)
    batches = list(loader)
    assert len(loader) == 3 and [batch.indices for batch in batches] == [[0, 1], [2, 3], [4]]
    for batch in batches:
        assert batch.images.shape == (len(batch), 3, 64, 64)
        for row, (index, box) in enumerate(zip(batch.indices, batch.letterboxes, strict=True)):
            assert (box.height, box.width) == sizes[index] and box.gain == 64 / max(sizes[index])
            mine = batch.targets[batch.targets[:, 0] == row].numpy()
            assert mine[:, 1].tolist() == targets[index].labels.tolist()
            centre, size = mine[:, 2:4] * 64, mine[:, 4:] * 64
            back = box.to_image(np.concatenate([centre - size / 2, centre + size / 2], 1))
            np.testing.assert_allclose(back, targets[index].boxes, atol=1e-4)
            picture = batch.images[row, :, box.top : box.top + box.resized[0], box.left : box.left + box.resized[1]]
            assert (picture.permute(1, 2, 0).numpy() == dataset.resized(index, 64)).all()
            assert (batch.images[row, :, : box.top] == 114).all() and (batch.images[row, :, :, : box.left] == 114).all()


def test_real_images_give_the_same_bytes_with_and_without_workers(real_data):
    dataset = load_dataset(real_data / "bccd", "val").subset(range(12))
    one, other = (list(TrainLoader(dataset, settings(imgsz=320, workers=w)).epoch(0)) for w in (0, 2))
    assert all(map(same, one, other)) and sum(len(batch.targets) for batch in one) > 12
    assert sum(len(batch) for batch in EvalLoader(dataset, 320, 5)) == 12
