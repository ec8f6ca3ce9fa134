"""Carrying trained weights into a model with other classes, row by row where the classes differ."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.checkpoints import Checkpoint
from yolo_ft.models.detector import Detector, class_names


@dataclass
class TransferReport:
    """What `transfer` did with every tensor.

    `matched`: copied whole. `reshaped`: head tensors copied row by row. `missing`: tensors of the model that keep
    their fresh values. `unexpected`: tensors of the checkpoint that were not used. `class_rows`: class name ->
    (its index in the checkpoint, its index in the model); `fresh_classes`: classes that start from random rows.
    """

    matched: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    class_rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    fresh_classes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        total = len(self.matched) + len(self.reshaped) + len(self.missing)
        lines = [f"{len(self.matched)} of {total} tensors copied whole, {len(self.reshaped)} row by row"]
        if self.missing:
            lines.append(f"{len(self.missing)} keep fresh values: {_some(self.missing)}")
        if self.unexpected:
            lines.append(f"{len(self.unexpected)} of the checkpoint not used: {_some(self.unexpected)}")
        if self.class_rows:
            lines.append(f"{len(self.class_rows)} classes carried over: {_some(self.class_rows)}")
        if self.fresh_classes:
            lines.append(f"{len(self.fresh_classes)} classes start fresh: {_some(self.fresh_classes)}")
        return "\n".join(lines)


@torch.no_grad()
def transfer(
    model: Detector, checkpoint: Checkpoint, reference: bool = False, take_names: bool = True
) -> TransferReport:
    """Copy the checkpoint's tensors (anchors and BatchNorm statistics included) into `model`, in place.

    Box and objectness rows of the head are kept whatever the classes; class rows follow the class *name* (upper and
    lower case are the same), also between equal class counts, because an index means another class in another
    dataset. A YOLO26 head takes the checkpoint's width (`Detector.adopt`). A model without names of its own
    (`class0`, ...) and with as many classes takes rows and names as they are, unless `take_names` is False.
    `reference` does as YOLOv5's trainer: equal counts copy row by row whatever the names, other counts leave the whole
    prediction layers random. Raises `UserError` for another family or size. Lesson 05.
    """
    wanted, given = model.family + model.size, checkpoint.model_name
    if wanted != given:
        raise UserError(f"The model is a {wanted} but the checkpoint is a {given}: use build_model('{given}').")
    unnamed = take_names and model.names == class_names(None, checkpoint.num_classes)
    if unnamed:
        model.names = dict(checkpoint.names)
    if reference or unnamed:
        rows = {i: i for i in range(model.num_classes)} if model.num_classes == checkpoint.num_classes else {}
    else:
        rows = _rows_by_name(model.names, checkpoint.names)
    whole = model.num_classes == checkpoint.num_classes and all(rows.get(i) == i for i in range(model.num_classes))
    model.adopt({key: tensor.shape for key, tensor in checkpoint.state_dict.items()})
    report = TransferReport(
        class_rows={model.names[new]: (old, new) for new, old in rows.items()},
        fresh_classes=[name for i, name in model.names.items() if i not in rows],
    )
    for key, tensor in model.state_dict().items():
        source = checkpoint.state_dict.get(key)
        layout = model.class_rows(key)
        if source is None or (reference and source.shape != tensor.shape):
            report.missing.append(key)
        elif layout and not whole:
            _copy_rows(tensor, source, rows, *layout)
            report.reshaped.append(key)
        else:
            tensor.copy_(source)
            report.matched.append(key)
    used = {*report.matched, *report.reshaped}
    report.unexpected = [key for key in checkpoint.state_dict if key not in used]
    model.pretrained, model.fresh_classes = True, tuple(report.fresh_classes)
    return report


def _rows_by_name(names: dict[int, str], known: dict[int, str]) -> dict[int, int]:
    """Class index of the model -> class index of the checkpoint with the same name."""
    index = {name.strip().casefold(): i for i, name in sorted(known.items(), reverse=True)}
    return {i: index[key] for i, name in names.items() if (key := name.strip().casefold()) in index}


def _copy_rows(tensor: torch.Tensor, source: torch.Tensor, rows: dict[int, int], groups: int, kept: int) -> None:
    """Rows of one prediction convolution, weight or bias, laid out as `Detector.class_rows` says."""
    ours = tensor.view(groups, -1, *tensor.shape[1:])  # (group, kept + nc, ...)
    theirs = source.view(groups, -1, *source.shape[1:]).to(ours)
    ours[:, :kept] = theirs[:, :kept]
    for new, old in rows.items():
        ours[:, kept + new] = theirs[:, kept + old]


def _some(names: list[str] | dict[str, tuple[int, int]]) -> str:
    """The first few names, and that there are more."""
    return ", ".join(list(names)[:6]) + (", ..." if len(names) > 6 else "")
