"""What enters the trainable part of the network: images, or the outputs of a frozen prefix, fresh or cached."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from yolo_ft.core.config import TrainConfig
from yolo_ft.data.loader import TrainLoader
from yolo_ft.finetune.compute import Compute
from yolo_ft.finetune.freezing import FreezePlan
from yolo_ft.finetune.prefix_cache import Prefix, PrefixCache
from yolo_ft.models import Detector

Fed = tuple[dict[int, torch.Tensor], torch.Tensor, int]  # layer outputs, targets (t, 6), images


class Feed:
    """Batches for a network of which `plan` freezes a part.

    `start` is the first layer that still has to run: 0 without a frozen prefix whose statistics are fixed. With
    `config.views` the prefix's outputs are cached (`config.prefix_cache=False` computes them each time, to the same
    bits). Made anew when a phase changes the freeze.
    """

    def __init__(self, model: Detector, plan: FreezePlan, loader: TrainLoader, compute: Compute):
        self.loader, self.config, self.compute = loader, loader.config, compute
        self.start = plan.prefix if plan.batchnorm == "fixed" else 0
        self.prefix = Prefix(model, self.start, compute, loader.batch) if self.start else None
        cached = self.prefix is not None and self.config.views > 0 and self.config.prefix_cache
        self.cache = PrefixCache(self.prefix, loader) if cached else None
        self.reading = 0.0  # seconds spent on reading cached outputs

    def epoch(self, epoch: int) -> Iterator[Fed]:
        """Layer outputs (or {-1: images}), targets and image count of every batch of `epoch`."""
        view, mosaic = view_of(self.config, epoch), epoch < closing_epoch(self.config)
        if self.cache is not None:
            kept = self.cache.view(view, mosaic)
            for indices in self.loader.groups(epoch):
                start = time.perf_counter()
                outputs, targets = kept.batch(indices)
                outputs = {layer: self.prefix.arrange(x) for layer, x in outputs.items()}
                self.reading += time.perf_counter() - start
                yield outputs, targets, len(indices)
            return
        for batch in self.loader.epoch(epoch, mosaic, view=view):
            outputs = self.prefix(batch.images) if self.prefix else {-1: self.compute.images(batch.images)}
            yield outputs, batch.targets, len(batch)

    @property
    def waited(self) -> float:
        """Seconds in which the network waited for data so far: for the loader's threads, or for cached outputs."""
        return self.loader.waited + self.reading

    def report(self) -> dict | None:
        """Images read from and put into the cache so far, and the bytes that were stored; None without a cache."""
        return {name: getattr(self.cache, name) for name in ("hits", "misses", "bytes")} if self.cache else None


def closing_epoch(config: TrainConfig) -> int:
    """The first epoch without mosaic."""
    return max(config.epochs - config.close_mosaic, 0)


def view_of(config: TrainConfig, epoch: int) -> int:
    """Which augmentation `epoch` sees: its own, or one of `views` that the epochs cycle through.

    The closing epochs without mosaic have a second set of views.
    """
    if not config.views:
        return epoch
    closing = closing_epoch(config)
    return epoch % config.views if epoch < closing else closing + (epoch - closing) % config.views
