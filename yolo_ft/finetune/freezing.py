"""Which parameters do not train: a plan put on a model, and read back from it. Lesson 02.

`freeze(model, 10)` is all that most people need. A freeze plan turns off `requires_grad` by exact name; BatchNorms
whose parameters are all frozen also keep their running statistics, through every later `model.train()`.

What a user froze by hand (`p.requires_grad = False`) stays frozen whatever plan comes and goes:
`freeze(model, x)` replaces the plan, `freeze(model, None)` clears it, and training adds its own to `current_plan`.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.accounting import batchnorms, frozen_batchnorms, image_size
from yolo_ft.finetune.freeze_plan import FreezePlan, refuse_everything, whole_layers
from yolo_ft.finetune.freeze_report import FreezeReport, freeze_report
from yolo_ft.finetune.phases import Phase, is_phases, parse_phases
from yolo_ft.finetune.selectors import layer_parameters, ranges_text
from yolo_ft.models.detector import Detector

__all__ = [
    "FreezePlan", "FreezeReport", "Phase", "apply_plan", "current_plan", "freeze", "is_phases", "parse_phases",
]  # fmt: skip


def _frozen_names(model: Detector) -> frozenset[str]:
    return frozenset(name for name, p in model.named_parameters() if not p.requires_grad)


def current_plan(model: Detector) -> FreezePlan:
    """What is frozen on `model` now, by a plan or by hand, as a plan that parses back from its `spec`.

    The BatchNorm mode is "running" only when a plan froze BatchNorms and left their statistics running.
    """
    names = _frozen_names(model)
    refuse_everything(model, names)
    layers = whole_layers(model, names, ())
    inside = frozenset().union(*(layer_parameters(model)[i] for i in layers))
    by_plan = getattr(model, "frozen_by_plan", frozenset())
    running = bool(frozen_batchnorms(model, by_plan)) and not model.fixed_batchnorm
    items = [ranges_text(layers), *sorted(names - inside)]
    return FreezePlan.parse(model, [item for item in items if item], "running" if running else "fixed")


def apply_plan(model: Detector, plan: FreezePlan) -> FreezePlan:
    """Make `plan` the plan of `model`, in place, and return what is now frozen: the plan and what was so by hand.

    Parameters of the former plan thaw unless this one freezes them too. Warns when this newly freezes random weights:
    of a whole network, or the rows of classes that the checkpoint did not know. Raises `UserError` when nothing would
    be left to train.
    """
    before = _frozen_names(model)
    by_hand = before - getattr(model, "frozen_by_plan", frozenset())
    frozen = by_hand | plan.parameters
    refuse_everything(model, frozen)
    if concern := _random_weights(model, plan, plan.parameters - before):
        warnings.warn(concern, stacklevel=3)
    for name, p in model.named_parameters():
        p.requires_grad_(name not in frozen)
        if name in frozen:
            p.grad = None  # a stale gradient would let an optimiser move a frozen weight
    model.frozen_by_plan = plan.parameters - by_hand
    former = model.fixed_batchnorm
    model.fixed_batchnorm = frozen_batchnorms(model, frozen) if plan.batchnorm == "fixed" else frozenset()
    for name, module in batchnorms(model):
        if name in former | model.fixed_batchnorm:
            module.train(model.training and name not in model.fixed_batchnorm)
    return replace(current_plan(model), batchnorm=plan.batchnorm) if by_hand - plan.parameters else plan


def _random_weights(model: Detector, plan: FreezePlan, names: frozenset[str]) -> str:
    """What to say when `plan` newly freezes the parameters `names` although they are random, or nothing."""
    if names and not model.pretrained:
        return (
            f"Freezing {plan.describe(model)} on a network with random weights: they will never learn anything. "
            "Start from pretrained weights unless this is a control experiment."
        )
    if model.fresh_classes and any(model.class_rows(name) for name in names):
        return (
            f"Freezing {plan.describe(model)}: the weights did not know {len(model.fresh_classes)} of its "
            f"{model.num_classes} classes, whose rows of the head are random and stay so. Leave the head free."
        )
    return ""


def carry_freeze(source: Detector, target: Detector) -> None:
    """Freeze on `target`, a network of the same architecture, what is frozen on `source`: by hand, and by its plan."""
    plan, by_plan = current_plan(source), getattr(source, "frozen_by_plan", frozenset())
    for name, p in target.named_parameters():
        if name in plan.parameters - by_plan:
            p.requires_grad_(False)
    if by_plan:
        apply_plan(target, FreezePlan.parse(target, sorted(by_plan), plan.batchnorm))


def freeze(model: Detector, spec: object, bn: str = "fixed", imgsz: int | tuple[int, int] = 640) -> FreezeReport:
    """Freeze what `spec` means (see `selectors`) on `model`, in place of the former plan; None thaws it.

    `bn`: "fixed" keeps the running statistics of frozen BatchNorms, "running" lets them move as YOLOv5 does.
    Returns what it buys at `imgsz` pixels. Raises `UserError` (see `FreezePlan.parse`); warns on random weights.
    """
    if is_phases(spec):
        raise UserError("Freeze phases need epochs: give them to train(freeze=...), one selection to freeze().")
    size = image_size(model, imgsz)  # a mistake is found before anything changes
    return freeze_report(model, apply_plan(model, FreezePlan.parse(model, spec, bn)), size)
