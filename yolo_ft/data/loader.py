"""Batches for training and evaluation, prepared ahead by threads without changing a byte of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch

from yolo_ft.core.boxes import Letterbox, letterbox, xyxy_to_cxcywh
from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.core.seeding import generator
from yolo_ft.core.targets import Batch, Target
from yolo_ft.data.augmentation.augment import augment
from yolo_ft.data.augmentation.warp import BORDER
from yolo_ft.data.dataset import Dataset

ORDER_STREAM = 2  # fourth word of the key: the order of the images, apart from what happens inside them


class TrainLoader:
    """Shuffled, augmented batches; every epoch a pure function of (config.seed, epoch), whatever `config.workers`.

    The batch is capped to the size of the data set; the last, smaller batch of an epoch is kept. Lesson 03.
    """

    def __init__(self, dataset: Dataset, config: TrainConfig) -> None:
        if not len(dataset):
            raise UserError(f"{dataset.name}, {dataset.split}: there is no image to train on.")
        dataset.cache.allow(config.cache == "ram")
        self.dataset, self.config = dataset, config
        self.batch = min(config.batch, len(dataset))

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch)

    def order(self, epoch: int) -> list[int]:
        """The data set indices in the order of `epoch`."""
        return generator(self.config.seed, epoch, 0, ORDER_STREAM).permutation(len(self.dataset)).tolist()

    def groups(self, epoch: int | None = None) -> list[list[int]]:
        """The data set indices of every batch of `epoch`; without it in the order of the data set."""
        order = list(range(len(self.dataset))) if epoch is None else self.order(epoch)
        return [order[i : i + self.batch] for i in range(0, len(order), self.batch)]

    def epoch(self, epoch: int, mosaic: bool = True, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from number `start` on."""
        return self.batches(self.groups(epoch)[start:], epoch, mosaic)

    def batches(self, groups: Sequence[list[int]], view: int, mosaic: bool = True) -> Iterator[Batch]:
        """The batches of `groups`, augmented as in epoch `view`, prepared `config.workers` threads ahead."""
        return _prefetched(lambda group: self.make(group, view, mosaic), groups, self.config.workers)

    def make(self, indices: list[int], view: int, mosaic: bool = True) -> Batch:
        """The batch of these images, augmented as in epoch `view`."""
        config = self.config
        return collate([augment(self.dataset, i, config, config.seed, view, mosaic) for i in indices], indices)


class EvalLoader:
    """Letterboxed square batches in the order of the data set, each with its `letterboxes`; small images are enlarged.

    `imgsz`: side of the square in pixels; `batch`: images at once; `workers`: threads that prepare batches ahead.
    """

    def __init__(self, dataset: Dataset, imgsz: int, batch: int = 16, workers: int = 1) -> None:
        self.dataset, self.imgsz, self.batch, self.workers = dataset, imgsz, batch, workers

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        return _prefetched(self.make, self.groups(), self.workers)

    def groups(self) -> list[list[int]]:
        """The data set indices of every batch."""
        indices = list(range(len(self.dataset)))
        return [indices[i : i + self.batch] for i in range(0, len(indices), self.batch)]

    def make(self, indices: list[int]) -> Batch:
        """The batch of these images."""
        boxes = [letterbox(*self.dataset.size(i), self.imgsz) for i in indices]
        samples = [self._fit(i, box) for i, box in zip(indices, boxes, strict=True)]
        return collate(samples, indices, boxes)

    def _fit(self, index: int, box: Letterbox) -> tuple[np.ndarray, Target]:
        pixels, target = self.dataset.resized(index, self.imgsz), self.dataset.target(index)
        image = np.full((box.out_height, box.out_width, 3), BORDER, np.uint8)
        image[box.top : box.top + pixels.shape[0], box.left : box.left + pixels.shape[1]] = pixels
        return image, Target(box.to_network(target.boxes), target.labels)


def collate(
    samples: list[tuple[np.ndarray, Target]], indices: list[int], letterboxes: list[Letterbox] | None = None
) -> Batch:
    """Images of one size, uint8 (h, w, 3), with boxes in pixels -> one `Batch` with normalised rows."""
    height, width = samples[0][0].shape[:2]
    images = torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image, _ in samples]))
    rows = []
    for number, (_, target) in enumerate(samples):
        boxes = xyxy_to_cxcywh(target.boxes) / np.array([width, height] * 2, np.float32)
        rows.append(np.column_stack([np.full(len(target), number), target.labels, boxes]).astype(np.float32))
    return Batch(images, torch.from_numpy(np.concatenate(rows)), list(indices), letterboxes)


def _prefetched(make: Callable[[list[int]], Batch], groups: Sequence[list[int]], workers: int) -> Iterator[Batch]:
    """`make(group)` for every group in order, up to `workers` threads ahead; 0 makes them in the calling thread.

    An exception reaches the caller at its batch. A caller that stops early leaves no thread behind.
    """
    if workers <= 0:
        yield from map(make, groups)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="yolo_ft-loader")
    try:
        waiting = iter(groups)
        ahead = deque(pool.submit(make, group) for group in islice(waiting, workers + 1))
        while ahead:
            batch = ahead.popleft().result()
            group = next(waiting, None)
            if group is not None:
                ahead.append(pool.submit(make, group))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
