"""The detector: a list of layers, each of which reads the outputs of earlier ones. What all families share.

Lesson 01 walks along the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from yolo_ft.core.boxes import nms
from yolo_ft.core.errors import UserError
from yolo_ft.models.layers import Concat


@dataclass(frozen=True)
class LayerSpec:
    """One row of an architecture: where it stands, what it is called, whose outputs it reads (absolute indices)."""

    index: int
    name: str
    source: tuple[int, ...]
    module: nn.Module


class Detector(nn.Module):
    """A list of layers, each reading earlier outputs; the last one is the detection head.

    `rows`: (name, source, module) per layer; source is -1 (the layer before), an index, or a list of both.
    What a family adds: `family`, `size` (one of `sizes`), `strides`, `stages` (name -> range of layer indices),
    `val_iou` and `predict_iou` (beyond which overlap one box suppresses another, for measuring and for looking at),
    `objectness` (whether `decode` gives such a column before the classes), `boosted` (what the names of parameters
    begin with that MuSGD trains at a higher rate), `decode`, `head_options` and `class_rows`.

    `fixed_batchnorm` holds the dotted names of BatchNorm modules that stay in eval mode whatever `train()` says:
    that is how a freeze survives every later `model.train()` (Lesson 02).
    """

    family: str
    size: str
    sizes: tuple[str, ...]
    strides: tuple[int, ...]
    stages: dict[str, range]
    val_iou: float
    predict_iou: float
    objectness = True
    boosted: tuple[str, ...] = ()

    def __init__(self, rows: list[tuple[str, int | list[int], nn.Module]], names: dict[int, str]):
        super().__init__()
        self.layers = tuple(
            LayerSpec(i, name, _absolute(source, i), module) for i, (name, source, module) in enumerate(rows)
        )
        self.model = nn.Sequential(*(layer.module for layer in self.layers))
        self.saved = tuple(sorted({s for layer in self.layers for s in layer.source if s not in (-1, layer.index - 1)}))
        self.names = dict(names)
        self.pretrained = False
        self.fresh_classes: tuple[str, ...] = ()  # whose rows of the head are random still
        self.fixed_batchnorm: frozenset[str] = frozenset()

    @property
    def num_classes(self) -> int:
        """Number of classes that the head predicts."""
        return len(self.names)

    @property
    def head(self) -> nn.Module:
        """The last layer: raw maps from feature maps."""
        return self.model[-1]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(b, 3, h, w) floats in 0..1, h and w multiples of the largest stride -> the head's raw maps."""
        return self.run_layers({-1: images})

    def run_layers(self, outputs: dict[int, torch.Tensor], start: int = 0, stop: int | None = None):
        """Run layers start..stop-1 on the `outputs` of earlier layers (index -> tensor, -1 = the image).

        Returns the last layer's output and adds to `outputs` every map that a later layer reads.
        """
        stop = len(self.layers) if stop is None else stop
        x = outputs[start - 1] if start - 1 in outputs else None
        for layer in self.layers[start:stop]:
            inputs = [x if s == layer.index - 1 else outputs[s] for s in layer.source]
            x = layer.module(inputs if isinstance(layer.module, Concat) or layer.module is self.head else inputs[0])
            if layer.index in self.saved:
                outputs[layer.index] = x
        return x

    def decode(self, raw: list[torch.Tensor]) -> torch.Tensor:
        """Raw maps -> (b, N, columns) predictions in input pixels; each family documents its columns."""
        raise NotImplementedError

    def decode_once(self, raw: list[torch.Tensor], max_det: int = 300) -> torch.Tensor:
        """Raw maps -> (b, k, 6) rows x1, y1, x2, y2, score, class, best first, each object once without suppression.

        Raises `UserError` where no head was trained to do that.
        """
        raise UserError(
            f"{self.family.replace('yolo', 'YOLO')} answers an object several times and needs suppression: "
            "YOLO26 can do without."
        )

    def detections(
        self,
        raw: list[torch.Tensor],
        confidence: float = 0.25,
        iou: float = 0.45,
        multi_label: bool = False,
        max_det: int = 300,
        candidates: int = 30_000,
        end_to_end: bool = False,
    ) -> list[torch.Tensor]:
        """Raw maps -> per image (n, 6) rows x1, y1, x2, y2, score, class in input pixels, best first.

        `end_to_end` takes the answers of `decode_once` as they are; else those of `decode` go through `nms`, which
        documents the other arguments. Lesson 04.
        """
        if end_to_end:
            return [rows[rows[:, 4] > confidence] for rows in self.decode_once(raw, max_det)]
        decoded = self.decode(raw)
        return nms(decoded, confidence, iou, multi_label, max_det, candidates=candidates, objectness=self.objectness)

    def answering(self, end_to_end: bool) -> AbstractContextManager:
        """The context in which `forward` computes only the maps that `detections` then reads.

        All of them unless a family says otherwise.
        """
        return nullcontext()

    @staticmethod
    def head_options(shapes: Mapping[str, Sequence[int]]) -> dict[str, int] | None:
        """What the tensors of a state dict (name -> shape) tell of this family's head, None without such a head.

        "num_classes", and what else the constructor takes beside the size and the names.
        """
        raise NotImplementedError

    def class_rows(self, key: str) -> tuple[int, int] | None:
        """How the state entry `key` holds a row per class, None where it does not.

        (g, k): its rows are g groups of k rows for all classes, then one row per class.
        """
        raise NotImplementedError

    def adopt(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Change what may differ between heads of this family and size so that weights of these shapes fit better.

        Called before weights are loaded or carried over. Nothing differs unless a family says so.
        """

    def train(self, mode: bool = True) -> Detector:
        """`nn.Module.train`, after which the BatchNorms of `fixed_batchnorm` go back to eval mode."""
        super().train(mode)
        for name in self.fixed_batchnorm:
            self.get_submodule(name).eval()
        return self


def _absolute(source: int | list[int], index: int) -> tuple[int, ...]:
    """Layer indices counted from the start: -1 is the layer before `index`."""
    sources = [source] if isinstance(source, int) else source
    return tuple(s if s >= 0 else index + s for s in sources)


def class_names(names: Iterable[str] | dict[int, str] | None, num_classes: int) -> dict[int, str]:
    """{index: name} from a list, a dict or nothing (then `class0`, `class1`, ...)."""
    if names is None:
        return {i: f"class{i}" for i in range(num_classes)}
    table = dict(names) if isinstance(names, dict) else dict(enumerate(names))
    return {int(i): str(name) for i, name in table.items()}
