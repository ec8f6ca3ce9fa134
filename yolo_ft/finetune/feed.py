"""What enters the trainable part of the network: images, or the outputs of a frozen prefix, fresh or cached."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

from yolo_ft.core.config import TrainConfig
from yolo_ft.data.loader import TrainLoader
from yolo_ft.finetune.compute import Compute
from yolo_ft.finetune.freezing import FreezePlan
from yolo_ft.finetune.prefix import Fed, Prefix, prepared
from yolo_ft.finetune.prefix_cache import BUDGET, PrefixCache
from yolo_ft.models import Detector

AUTOMATIC_VIEWS = 8  # what the recorded study of views found to cost no accuracy that could be told apart (Lesson 05)
WORTH = 0.25  # share of the passes over the images that a cache has to save before it is used unasked


class Feed:
    """Batches for a network of which `plan` freezes a part.

    `start` is the first layer that still has to run: 0 without a frozen prefix whose statistics are fixed. With
    `config.views` the prefix's outputs are cached (`config.prefix_cache=False` computes them each time, to the same
    bits) and `counts` tells what was read and stored. Made anew when a phase changes the freeze.
    """

    def __init__(
        self, model: Detector, plan: FreezePlan, loader: TrainLoader, compute: Compute, counts: dict[str, int]
    ):
        self.loader, self.config, self.compute = loader, loader.config, compute
        self.start = prefix_depth(plan)
        self.prefix = Prefix(model, self.start, compute, loader.batch) if self.start else None
        self.views = (self.config.views or 0) if self.prefix else 0
        self.cache = PrefixCache(self.prefix, loader, counts) if self.views and self.config.prefix_cache else None
        self.waited = 0.0  # seconds in which the trainable layers waited for what they read

    def epoch(self, epoch: int) -> Iterator[Fed]:
        """Layer outputs (or {-1: images}), targets and image count of every batch of `epoch`."""
        view, mosaic = view_of(self.config, self.views, epoch), epoch < closing_epoch(self.config)
        groups, start = self.loader.groups(epoch), time.perf_counter()
        source = self._kept if self.cache else self._fresh
        for fed in source(groups, view, mosaic):
            self.waited += time.perf_counter() - start
            yield fed
            start = time.perf_counter()

    def _fresh(self, groups: list[list[int]], view: int, mosaic: bool) -> Iterator[Fed]:
        return prepared(self.loader, groups, view, mosaic, self.compute, self.prefix)

    def _kept(self, groups: list[list[int]], view: int, mosaic: bool) -> Iterator[Fed]:
        kept = self.cache.view(view, mosaic)
        for group in groups:
            outputs, targets = kept.batch(group)
            yield {layer: self.prefix.arrange(x) for layer, x in outputs.items()}, targets, len(group)


def prefix_depth(plan: FreezePlan) -> int:
    """How many layers from the image on always give the same outputs: frozen, with fixed statistics."""
    return plan.prefix if plan.batchnorm == "fixed" else 0


def closing_epoch(config: TrainConfig) -> int:
    """The first epoch without mosaic."""
    return max(config.epochs - config.close_mosaic, 0)


def view_of(config: TrainConfig, views: int, epoch: int) -> int:
    """Which augmentation `epoch` sees: its own, or one of `views` that the epochs cycle through.

    The closing epochs without mosaic have a second set of views.
    """
    if not views:
        return epoch
    closing = closing_epoch(config)
    return epoch % views if epoch < closing else closing + (epoch - closing) % views


def plan_views(
    model: Detector, plan: FreezePlan, epochs: int, images: int, config: TrainConfig, compute: Compute
) -> int:
    """`config.views`; where that is None, `AUTOMATIC_VIEWS` if a cache saves enough and fits, else 0.

    `plan` is frozen for the first `epochs` epochs of a training on `images` images. Warns when views that were asked
    for do not fit into the cache.
    """
    depth, views = prefix_depth(plan), AUTOMATIC_VIEWS if config.views is None else config.views
    if not depth or not views or compute.device != "cpu":
        return config.views or 0
    different = len({view_of(config, views, epoch) for epoch in range(epochs)})
    training = model.training
    size = different * images * Prefix(model.eval(), depth, compute, 1).image_bytes(config.imgsz)
    model.train(training)
    if config.views is None:
        return views if epochs - different >= WORTH * epochs and size <= BUDGET else 0
    if size > BUDGET:
        warnings.warn(
            f"views={views}: {different} views of {images} images need {size / 2**30:.1f} GiB behind layer "
            f"{depth - 1} and the cache keeps {BUDGET / 2**30:.0f} GiB, so little will be reused: use views=0.",
            stacklevel=2,
        )
    return views
