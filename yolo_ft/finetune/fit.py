"""Prepare a run, train it, resume it: what `YOLO.train`, the command line and the notebooks all call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.core.seeding import seed_everything
from yolo_ft.data.dataset import Dataset, load_dataset
from yolo_ft.finetune.accounting import image_size
from yolo_ft.finetune.anchors import fit_anchors
from yolo_ft.finetune.checkpoints import load_checkpoint, load_training_state, model_from_checkpoint
from yolo_ft.finetune.compute import Compute, resolve_compute
from yolo_ft.finetune.feed import plan_views
from yolo_ft.finetune.freeze_report import freeze_report
from yolo_ft.finetune.freezing import FreezePlan, current_plan
from yolo_ft.finetune.losses import LOSSES
from yolo_ft.finetune.machine import environment
from yolo_ft.finetune.optimizers import resolve_optimizer
from yolo_ft.finetune.phases import Phase, is_phases, parse_phases, phases_text, total_epochs
from yolo_ft.finetune.runs import Run
from yolo_ft.finetune.selectors import spec_text
from yolo_ft.finetune.trainer import Listener, Trainer
from yolo_ft.models import Detector

EXACT = ("torch", "torchvision", "processor", "device")  # what must agree for a resume to give the same bytes


def fit(
    model: Detector,
    train_set: Dataset,
    val_set: Dataset | None,
    config: TrainConfig,
    listeners: Sequence[Listener] = (),
) -> Run:
    """Train `model` in place and return the run folder; afterwards it holds the best averaged weights.

    What is frozen on the model stays frozen; `config.freeze` (a selection or phases) adds to it. Raises `UserError`
    when the model's classes are not the dataset's, and for every setting that cannot work. Lesson 03.
    """
    if model.names != train_set.names:
        raise UserError(
            f"The model knows {model.num_classes} classes and the data has {train_set.num_classes} "
            f"({', '.join(train_set.names.values())}): use YOLO(...).train, which fits the head to the data."
        )
    image_size(model, config.imgsz)
    _refuse_unused(model, config)
    compute = resolve_compute(config)
    if val_set is not None:
        val_set.cache.allow(config.cache == "ram")
    phases = plan_phases(config)
    kept = current_plan(model)
    frozen = kept.union(FreezePlan.parse(model, phases[0].spec, config.freeze_bn), model)
    views = plan_views(model, frozen, phases[0].epochs, len(train_set), config, compute)
    box = LOSSES[model.family].box_gain if config.box is None else config.box
    config = replace(resolve_optimizer(config, len(train_set), model.num_classes), views=views, box=box)
    anchors = fit_anchors(model, train_set, config) if config.autoanchor else None
    run = Run.create(config.project, config.name)
    resolved = {**compute.to_dict(), "phases": phases_text(phases), "anchors_replaced": anchors}
    run.write_config({**config.to_dict(), "freeze": _freeze_text(config.freeze), "resolved": resolved})
    run.write_environment(environment(compute.device, train_set.digest))
    about = describe(model, train_set, config, compute, frozen, run)
    return Trainer(model, train_set, val_set, config, compute, run, kept, phases, about, listeners).train()


def _refuse_unused(model: Detector, config: TrainConfig) -> None:
    """Raise `UserError` for settings that were changed although this family's loss has no use for them."""
    usual = TrainConfig()
    changed = [name for name in LOSSES[model.family].unused if getattr(config, name) != getattr(usual, name)]
    if changed:
        raise UserError(f"The loss of {model.family} has no use for {', '.join(changed)}: leave out what it cannot do.")


def plan_phases(config: TrainConfig) -> tuple[Phase, ...]:
    """The freeze of `config` as phases that cover its epochs."""
    if not is_phases(config.freeze):
        return (Phase(config.epochs, spec_text(config.freeze)),)
    phases = parse_phases(config.freeze)
    if total_epochs(phases) != config.epochs:
        raise UserError(
            f"The freeze phases last {total_epochs(phases)} epochs but epochs={config.epochs}: make them agree."
        )
    return phases


def _freeze_text(spec: object) -> str:
    return phases_text(parse_phases(spec)) if is_phases(spec) else spec_text(spec)


def describe(
    model: Detector, data: Dataset, config: TrainConfig, compute: Compute, frozen: FreezePlan, run: Run
) -> dict:
    """The part of `summary.json` that is known before the first step."""
    report = freeze_report(model, frozen, config.imgsz)
    return {
        "name": run.name,
        "data": data.name,
        "images": len(data),
        "num_classes": model.num_classes,
        "model": f"{model.family}{model.size}",
        "weights": config.weights,
        "freeze": _freeze_text(config.freeze),
        "freeze_label": frozen.describe(model),
        "views": config.views,
        "seed": config.seed,
        "imgsz": config.imgsz,
        "batch": config.batch,
        "parameters": report.parameters,
        "frozen_parameters": report.frozen_parameters,
        "frozen_share": report.frozen_share,
        "backward_bytes_per_image": report.kept_bytes,
        "precision_mode": compute.precision,
        "threads": compute.threads,
    }


def resume(path: str | Path, listeners: Sequence[Listener] = (), inexact: bool = False) -> Run:
    """Finish the run in folder `path` with the same bytes as if it had never stopped. Lesson 03.

    Uses what `config.yaml` resolved for the machine. Refuses, unless `inexact`, where the bytes could differ: other
    versions, another processor or thread count, a GPU, changed data. Returns the finished run.
    """
    run = Run(path)
    values = run.config
    resolved = values.pop("resolved", {})
    config = TrainConfig.from_dict(values)
    compute = Compute.from_dict(resolved)
    last = run.weights("last")
    state = load_training_state(last)
    if state["next_epoch"] >= config.epochs or (run.path / "summary.json").exists():
        raise UserError(f"{run.path} is finished: start a new run from its weights to train it further.")
    train_set, val_set = load_dataset(config.data, "train"), load_dataset(config.data, "val")
    val_set.cache.allow(config.cache == "ram")
    if not inexact:
        _refuse_inexact(run, compute, train_set)
    seed_everything(config.seed)
    model = model_from_checkpoint(load_checkpoint(last))
    kept = FreezePlan.parse(model, state["kept_frozen"], state.get("kept_batchnorm", config.freeze_bn))
    phases = parse_phases(resolved["phases"])
    frozen = kept.union(FreezePlan.parse(model, phases[0].spec, config.freeze_bn), model)
    about = describe(model, train_set, config, compute, frozen, run)
    trainer = Trainer(model, train_set, val_set, config, compute, run, kept, phases, about, listeners)
    trainer.load_state(state)
    return trainer.train()


def _refuse_inexact(run: Run, compute: Compute, data: Dataset) -> None:
    """Raise `UserError` unless this machine repeats the run's arithmetic bit by bit."""
    then, now = run.environment, environment(compute.device, data.digest)
    reasons = [f"{name} was {then.get(name)}, is {now.get(name)}" for name in EXACT if then.get(name) != now.get(name)]
    if then["data"] != now["data"]:
        reasons.append("the training data has changed")
    if compute.device != "cpu":
        reasons.append(f"on {compute.device} some gradients are summed in varying order")
    if torch.get_num_threads() != compute.threads:
        reasons.append(
            f"it ran with {compute.threads} threads, here are {torch.get_num_threads()} "
            f"(set OMP_NUM_THREADS={compute.threads}; this machine has {os.cpu_count()} cores)"
        )
    if reasons:
        raise UserError(
            f"{run.path} cannot be resumed exactly: {'; '.join(reasons)}. Pass inexact=True (--inexact) to go on."
        )
