"""Learning rate and momentum as pure functions of the step: nothing to save, nothing to get out of step on resume."""

from __future__ import annotations

import math

import torch

from yolo_ft.core.config import TrainConfig


def rate_factor(config: TrainConfig, epoch: int) -> float:
    """Factor of `lr0` in an epoch: from 1 down towards `lrf`, along half a cosine or a line (YOLOv5 v7.0)."""
    done = epoch / config.epochs
    if config.cos_lr:
        return (1 - math.cos(math.pi * done)) / 2 * (config.lrf - 1) + 1
    return (1 - done) * (1 - config.lrf) + config.lrf


def warmup_steps(config: TrainConfig, batches: int) -> int:
    """Batches of warm-up at `batches` per epoch: as in Ultralytics 8.4 the last epoch is none.

    With `warmup_min_steps` as in YOLOv5 v7.0, which has at least so many, however short the training.
    """
    if config.warmup_epochs <= 0:
        return 0
    if config.warmup_min_steps:
        return max(round(config.warmup_epochs * batches), config.warmup_min_steps)
    return round(min(config.warmup_epochs, config.epochs - 1) * batches)


def accumulation_at(config: TrainConfig, step: int, batches: int) -> int:
    """Batches per optimiser step at batch `step`: grows from 1 to its full value during warm-up (YOLOv5 v7.0)."""
    full, warm = config.nominal_batch / config.batch, warmup_steps(config, batches)
    grown = 1 + (full - 1) * min(step / warm, 1) if warm else full
    return max(round(grown), 1)


def rate_and_momentum(
    config: TrainConfig, group: str, epoch: int, step: int, batches: int, boost: float = 1.0
) -> tuple[float, float]:
    """(learning rate, momentum) of a parameter group at batch `step`, counted from the start of the run.

    During warm-up the rate rises linearly from 0 (biases: `warmup_bias_lr`) and the momentum from
    `warmup_momentum`. `boost` is the group's own factor of `lr0`. Lesson 03 draws the curve.
    """
    rate, momentum = config.lr0 * boost * rate_factor(config, epoch), config.momentum
    warm = warmup_steps(config, batches)
    if step < warm:
        start = config.warmup_bias_lr if group == "bias" else 0.0
        rate = start + (rate - start) * (step + 1) / (warm + 1)
        momentum = config.warmup_momentum + (momentum - config.warmup_momentum) * (step + 1) / (warm + 1)
    return rate, momentum


def apply_schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, epoch: int, step: int, batches: int, phase_rate: float = 1.0
) -> float:
    """Set every group's rate (times the phase's factor) and momentum; returns the weight group's rate.

    AdamW keeps its betas: only optimisers that have a momentum of their own warm it up.
    """
    shown = 0.0
    for group in optimizer.param_groups:
        boost = group.get("boost", 1.0)
        rate, momentum = rate_and_momentum(config, group["name"], epoch, step, batches, boost)
        group["lr"] = rate * phase_rate
        if "momentum" in group:
            group["momentum"] = momentum
        if group["name"] == "weight" or not shown:
            shown = group["lr"]
    return shown
