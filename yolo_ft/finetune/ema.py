"""An exponential moving average of the weights: the model that is validated, saved and used."""

from __future__ import annotations

import copy
import math

import torch

from yolo_ft.models import Detector


def changing_tensors(model: Detector) -> list[str]:
    """Names of the floating state entries that training can change: trainable parameters and moving BN statistics."""
    fixed = {f"{bn}.{buffer}" for bn in model.fixed_batchnorm for buffer in ("running_mean", "running_var")}
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    moving = {name for name, _ in model.named_buffers() if name.endswith(("running_mean", "running_var"))} - fixed
    return [name for name in model.state_dict() if name in trainable or name in moving]


class EMA:
    """The averaged twin of `model`: average = d average + (1 - d) model, where d = decay (1 - e^(-n/ramp)) at update n.

    Tensors that cannot change (frozen ones, BatchNorm statistics held fixed) are never touched, so that they keep
    their bytes. A tensor that stops changing in mid-run takes the model's value of that moment: what still trains
    trains on top of that, not of the average. `updates` counts the updates.
    """

    def __init__(self, model: Detector, decay: float, ramp: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.ramp, self.updates = decay, ramp, 0
        self.follow(model)

    @torch.no_grad()
    def follow(self, model: Detector) -> None:
        """Look again at which tensors of `model` can change; call it after every change of the freeze."""
        ours, theirs = self.model.state_dict(), model.state_dict()
        names = changing_tensors(model)
        for name in set(ours) - set(names):
            ours[name].copy_(theirs[name])
        self._average = [ours[name] for name in names]
        self._source = [theirs[name] for name in names]
        self._counters = [(ours[n], theirs[n]) for n in ours if n.endswith("num_batches_tracked")]

    @torch.no_grad()
    def update(self) -> None:
        """One step towards the model's present weights."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.ramp)) if self.ramp > 0 else self.decay
        if self._average:
            torch._foreach_lerp_(self._average, self._source, 1 - decay)
        for ours, theirs in self._counters:
            ours.copy_(theirs)
