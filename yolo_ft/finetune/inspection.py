"""What a network is made of, as tables: one row per layer, one row per parameter. Lesson 01."""

from __future__ import annotations

import pandas as pd

from yolo_ft.finetune.accounting import measure
from yolo_ft.finetune.selectors import layer_index
from yolo_ft.models.detector import Detector


def stage_of(model: Detector, layer: int) -> str:
    """The stage (backbone, neck, head) that layer index `layer` belongs to."""
    return next(stage for stage, members in model.stages.items() if layer in members)


def layer_table(model: Detector, imgsz: int | tuple[int, int] = 640) -> pd.DataFrame:
    """One row per layer of `model`, which stays as it is (no weight is computed with, nothing is recorded).

    Columns: index, name, module (class), stage, output_shape (batch 1 at `imgsz` pixels; a list of its raw maps for
    the head), parameters, flops (2 x multiply-adds of the convolutions), activation_bytes (float32 bytes per image
    that training keeps for the backward pass when nothing is frozen, by the layer that makes them). Raises
    `UserError` for a size that the network cannot take.
    """
    footprint = measure(model, imgsz)
    return pd.DataFrame(
        {
            "index": layer.index,
            "name": layer.name,
            "module": type(layer.module).__name__,
            "stage": stage_of(model, layer.index),
            "output_shape": footprint.shapes[layer.index],
            "parameters": sum(p.numel() for p in layer.module.parameters()),
            "flops": footprint.flops[layer.index],
            "activation_bytes": footprint.kept[layer.index],
        }
        for layer in model.layers
    )


def parameter_table(model: Detector) -> pd.DataFrame:
    """One row per parameter tensor, in the order of the checkpoint.

    Columns: name, shape, count (numbers in it), stage, layer (index), trainable. Buffers such as BatchNorm's
    running statistics are no parameters: nothing trains them, and so they are not listed.
    """
    return pd.DataFrame(
        {
            "name": name,
            "shape": tuple(p.shape),
            "count": p.numel(),
            "stage": stage_of(model, layer_index(name)),
            "layer": layer_index(name),
            "trainable": p.requires_grad,
        }
        for name, p in model.named_parameters()
    )
