"""From images to what the trainable part of a network reads: the outputs of its frozen prefix, or the images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import torch

from yolo_ft.core.parallel import spread
from yolo_ft.core.targets import Batch
from yolo_ft.data.loader import TrainLoader
from yolo_ft.finetune.compute import Compute
from yolo_ft.models import Detector

Fed = tuple[dict[int, torch.Tensor], torch.Tensor, int]  # layer outputs, targets (t, 6), images


class Prefix:
    """Layers 0..depth-1 of a model, weights and statistics fixed, run without gradients.

    Images always pass in groups of `group` (the last one is filled up), because the rounding of a convolution may
    depend on how many images share it: so cached and fresh outputs are the same bits.
    """

    def __init__(self, model: Detector, depth: int, compute: Compute, group: int):
        self.model, self.depth, self.compute, self.group = model, depth, compute, group
        self.needed = sorted({s for layer in model.layers[depth:] for s in layer.source if s < depth})

    def arrange(self, x: torch.Tensor) -> torch.Tensor:
        """A stored output on the device, in the layout that the network computes in."""
        layout = torch.channels_last if self.compute.channels_last else torch.contiguous_format
        return x.to(self.compute.device).contiguous(memory_format=layout)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """uint8 (b, 3, h, w), b <= group -> {layer: (b, c, h, w)} for every layer that the suffix reads."""
        count = len(images)
        outputs = {-1: self.compute.images(images[torch.arange(self.group) % count])}
        with self.compute.autocast():
            outputs[self.depth - 1] = self.model.run_layers(outputs, 0, self.depth)
        return {layer: self.arrange(outputs[layer][:count]) for layer in self.needed}

    def image_bytes(self, imgsz: int) -> int:
        """Bytes that are stored of one image of `imgsz` pixels a side."""
        outputs = self(torch.zeros(1, 3, imgsz, imgsz, dtype=torch.uint8))
        return sum(x.nbytes for x in outputs.values())

    def digest(self) -> str:
        """SHA-256 over the weights, the statistics, and how they are computed with."""
        about = [self.depth, self.group, self.compute.to_dict(), torch.__version__]
        digest = hashlib.sha256(json.dumps(about).encode())
        for layer in self.model.layers[: self.depth]:
            for tensor in layer.module.state_dict().values():
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def prepared(
    loader: TrainLoader,
    groups: Sequence[Sequence[int]],
    view: int,
    mosaic: bool,
    compute: Compute,
    prefix: Prefix | None = None,
) -> Iterator[Fed]:
    """What the layers behind `prefix` read for each group of images, augmented as `view`; without it {-1: images}.

    On a processor all cores augment and run the prefix for several groups, then the network trains on them; for an
    accelerator the loader's threads work ahead.
    """

    def through(batch: Batch) -> Fed:
        outputs = prefix(batch.images) if prefix else {-1: compute.images(batch.images)}
        return outputs, batch.targets, len(batch)

    if compute.device == "cpu":
        return spread(lambda group: through(loader.make(group, view, mosaic)), groups)
    return map(through, loader.batches(groups, view, mosaic))
