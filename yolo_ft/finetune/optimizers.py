"""Optimisers over the trainable parameters alone, with their state kept by parameter name."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import torch
from torch import nn

from yolo_ft.core.config import DEFAULTS, TrainConfig
from yolo_ft.finetune.musgd import MuSGD
from yolo_ft.models import Detector

GROUPS = ("bias", "weight", "norm")
LONG_TRAINING = 10_000  # steps beyond which optimizer="auto" takes MuSGD
BOOST = 3.0  # MuSGD's factor of the rate where a family asks for it
THEIR_RATE, THEIR_DECAY = 0.01, 0.0005  # the defaults of YOLOv5 and Ultralytics
USUAL_RATE = {"AdamW": DEFAULTS["lr0"], "SGD": THEIR_RATE, "MuSGD": THEIR_RATE}
# Settings that an optimiser wants otherwise than our AdamW. The decay of SGD and MuSGD is part of the gradient: at
# AdamW's, which is a share of the rate, weights would be gone before they learn.
USUAL = {
    "SGD": {"lr0": THEIR_RATE, "weight_decay": THEIR_DECAY},
    "MuSGD": {"lr0": THEIR_RATE, "weight_decay": THEIR_DECAY},
    "auto": {"weight_decay": THEIR_DECAY},
}


def with_usual(settings: dict) -> dict:
    """`settings` of a training, and beside them what their optimiser usually takes. Lesson 13."""
    return {**USUAL.get(str(settings.get("optimizer")), {}), **settings}


def accumulation(config: TrainConfig) -> int:
    """Batches whose gradients are added before one optimiser step, so that about `nominal_batch` images count."""
    return max(round(config.nominal_batch / config.batch), 1)


def parameter_groups(model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """Trainable parameters by name, in YOLOv5's three groups: biases, convolution weights, normalisation weights.

    Only `weight` gets weight decay. A frozen parameter is in no group, so neither momentum nor decay can move it
    (Lesson 02 shows what happens otherwise).
    """
    groups: dict[str, dict[str, nn.Parameter]] = {group: {} for group in GROUPS}
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            owner, _, leaf = name.rpartition(".")
            group = "bias" if leaf == "bias" else "norm" if owner in norms else "weight"
            groups[group][name] = parameter
    return groups


def build_optimizer(model: Detector, config: TrainConfig, fused: bool = False) -> torch.optim.Optimizer:
    """SGD (Nesterov), AdamW or MuSGD over the trainable parameters; each group's `name` is one of `GROUPS`.

    Weight decay is scaled to the images that one step really sees, as YOLOv5 v7.0 does. `fused` steps all
    parameters in one kernel. Lesson 03.
    """
    decay = config.weight_decay * config.batch * accumulation(config) / config.nominal_batch
    groups = [
        {
            "params": list(members.values()),
            "names": list(members),
            "name": group,
            "weight_decay": decay * (group == "weight"),
        }
        for group, members in parameter_groups(model).items()
        if members
    ]
    if config.optimizer == "MuSGD":
        return MuSGD(_boosted_apart(groups, model.boosted), config.lr0, config.momentum)
    if config.optimizer == "SGD":
        nesterov = config.momentum > 0
        return torch.optim.SGD(groups, lr=config.lr0, momentum=config.momentum, nesterov=nesterov, fused=fused)
    return torch.optim.AdamW(groups, lr=config.lr0, betas=(config.momentum, 0.999), fused=fused)


def _boosted_apart(groups: list[dict], boosted: tuple[str, ...]) -> list[dict]:
    """MuSGD's groups: each in two, by whether a name starts with one of `boosted`; kernels are for Muon."""
    apart = []
    for group in groups:
        for boost in (BOOST, 1.0):
            members = [
                (name, p)
                for name, p in zip(group["names"], group["params"], strict=True)
                if name.startswith(boosted) == (boost == BOOST)
            ]
            if members:
                names, params = zip(*members, strict=True)
                halves = {"names": list(names), "params": list(params), "boost": boost}
                apart.append({**group, **halves, "muon": group["name"] == "weight"})
    return apart


def resolve_optimizer(config: TrainConfig, images: int, num_classes: int) -> TrainConfig:
    """`optimizer="auto"` as Ultralytics 8.4 decides it, with the rate that goes with it; other settings as they are.

    More than 10,000 steps of 64 images (or a batch, if that is larger) take MuSGD at 0.01, fewer AdamW at a rate that
    falls with the class count. Biases warm up from 0. The momentum of MuSGD stays the setting's. Lesson 13.
    """
    if config.optimizer != "auto":
        return config
    if config.lr0 not in (DEFAULTS["lr0"], THEIR_RATE):
        warnings.warn(
            f"optimizer='auto' chooses the rate itself, so lr0={config.lr0:g} is not used: name an optimiser, for "
            "example optimizer='AdamW', to set the rate.",
            stacklevel=3,
        )
    if math.ceil(images / max(config.batch, 64)) * config.epochs > LONG_TRAINING:
        return replace(config, optimizer="MuSGD", lr0=USUAL_RATE["MuSGD"], warmup_bias_lr=0.0)
    rate = round(0.002 * 5 / (4 + num_classes), 6)
    return replace(config, optimizer="AdamW", lr0=rate, momentum=0.9, warmup_bias_lr=0.0)


def lower_rate(config: TrainConfig) -> float:
    """The rate to try where that of `config` was too high: a fifth of it, at most the usual one of its optimiser."""
    return min(config.lr0 / 5, USUAL_RATE[config.optimizer])


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, torch.Tensor]]:
    """{parameter name: {what the optimiser remembers of it}}: survives a change of which parameters train."""
    return {
        name: dict(optimizer.state[parameter])
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        if parameter in optimizer.state
    }


def restore_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, dict]) -> None:
    """Give every parameter its memory back by name; one that is new (just thawed) starts without."""
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            if name in state:
                optimizer.state[parameter] = {
                    key: value.clone() if isinstance(value, torch.Tensor) else value
                    for key, value in state[name].items()
                }
