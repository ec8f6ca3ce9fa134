"""Freezing on a live network: what stays byte-identical while it trains, what adds up, what is honoured."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from helpers import image

from yolo_ft import models
from yolo_ft.api import YOLO, fit_head
from yolo_ft.core.errors import UserError
from yolo_ft.finetune.checkpoints import Checkpoint
from yolo_ft.finetune.freezing import FreezePlan, apply_plan, current_plan, freeze
from yolo_ft.finetune.selectors import layer_index
from yolo_ft.finetune.transfer import transfer


def pretrained(num_classes: int = 3):
    torch.manual_seed(0)
    model = models.build_model("yolov5n", num_classes)
    model.pretrained = True  # as after loading a checkpoint; keeps the warning about random weights out of the way
    return model


def frozen_names(model):
    return {name for name, p in model.named_parameters() if not p.requires_grad}


def apply(model, spec, batchnorm="fixed"):
    return apply_plan(model, FreezePlan.parse(model, spec, batchnorm))


def train_steps(model, steps=3):
    """Real SGD steps with momentum and decay over *all* parameters, as a careless training loop would do them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-3)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        raw = model(image(2, 64, 64, seed=1000003 + step))
        sum((level**2).mean() for level in raw).backward()
        optimizer.step()


def cloned_state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before, model):
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("spec", [10, 24, [0, 5], "model.8.m", "*.bn.*", "head"])
def test_frozen_tensors_keep_every_byte(spec):
    model = pretrained()
    plan = apply(model, spec)
    before = cloned_state(model)
    train_steps(model)
    moved = changed(before, model)
    assert plan.parameters and not plan.parameters & moved
    owners = {name.rpartition(".")[0] for name in before if name.endswith("running_mean")}
    owners = {owner for owner in owners if {f"{owner}.weight", f"{owner}.bias"} <= plan.parameters}
    fixed = {name for name in before if name.rpartition(".")[0] in owners}
    assert len(fixed) == 5 * len(owners)  # weight, bias, running mean, running variance and counter
    assert not fixed & moved
    assert {name for name, _ in model.named_parameters()} - plan.parameters <= moved
    others = {name for name in before if "running_" in name or "num_batches" in name} - fixed
    assert others <= moved


def test_running_mode_moves_the_statistics_and_only_them():
    model = pretrained()
    apply(model, 10, "running")
    before = cloned_state(model)
    train_steps(model)
    moved = {name for name in changed(before, model) if layer_index(name) < 10}
    assert moved and all("running_" in name or "num_batches" in name for name in moved)
    assert current_plan(model).batchnorm == "running"


def test_a_mistake_changes_nothing():
    model = pretrained()
    freeze(model, "backbone")
    before = frozen_names(model)
    with pytest.raises(UserError):
        freeze(model, ["neck", "hed"])
    with pytest.raises(UserError):
        freeze(model, 10, bn="eval")
    with pytest.raises(UserError):
        freeze(model, 10, imgsz=100)
    assert frozen_names(model) == before


def test_the_plan_survives_train_and_eval():
    model = pretrained()
    apply(model, "backbone")
    for switch in (model.train, model.eval, model.train):
        switch()
    modes = {name: module.training for name, module in model.named_modules() if name.endswith("bn")}
    assert all(training == (layer_index(name) >= 10) for name, training in modes.items())
    twin = copy.deepcopy(model).train()
    assert not twin.model[0].bn.training and twin.model[10].bn.training


def test_freezing_takes_effect_on_a_model_that_is_training():
    model = pretrained().train()
    apply(model, 10)
    assert not model.model[3].bn.training
    apply(model, 3)
    assert model.model[3].bn.training and not model.model[1].bn.training
    model.eval()
    apply(model, None)
    assert not model.model[1].bn.training


def test_freeze_drops_stale_gradients():
    model = pretrained()
    train_steps(model, steps=1)
    assert model.model[0].conv.weight.grad is not None
    apply(model, 10)
    before = cloned_state(model)
    torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1).step()
    assert not frozen_names(model) & changed(before, model)


def test_freeze_replaces_and_none_clears():
    model = pretrained()
    freeze(model, 10)
    freeze(model, [13])
    assert {layer_index(name) for name in frozen_names(model)} == {13}
    report = freeze(model, None)
    assert not frozen_names(model) and not model.fixed_batchnorm and report.frozen_parameters == 0


def test_what_was_frozen_by_hand_stays_frozen():
    model = pretrained()
    hand = {"model.13.cv1.conv.weight", "model.3.bn.weight", "model.3.bn.bias"}
    for name in hand:
        model.get_parameter(name).requires_grad = False
    report = freeze(model, "head")
    assert hand < frozen_names(model) == report.plan.parameters
    assert model.fixed_batchnorm == {"model.3.bn"}  # all of its parameters are frozen, by whomever
    freeze(model, 10)  # covers model.3 as well
    assert {"model.13.cv1.conv.weight"} < frozen_names(model)
    freeze(model, None)
    assert frozen_names(model) == hand


def test_current_plan_reads_the_model_and_adds_up_through_phases():
    model = pretrained()
    assert current_plan(model) == FreezePlan()
    model.model[20].cv1.conv.weight.requires_grad = False
    freeze(model, 3)
    base = current_plan(model)
    assert base.parameters == frozen_names(model) and base.layers == (0, 1, 2) and base.prefix == 3
    assert FreezePlan.parse(model, base.spec) == base
    # what training does with [(5, "backbone"), (20, None)]
    apply_plan(model, base.union(FreezePlan.parse(model, "backbone"), model))
    assert current_plan(model).prefix == 10 and "model.20.cv1.conv.weight" in frozen_names(model)
    apply_plan(model, base.union(FreezePlan.parse(model, None), model))
    assert current_plan(model) == base


def test_a_thaw_by_hand_is_honoured():
    model = pretrained()
    freeze(model, 10)
    model.model[9].cv2.conv.weight.requires_grad = True
    assert current_plan(model).prefix == 9
    assert "model.9.cv2.conv.weight" not in current_plan(model).parameters


def test_everything_frozen_by_hand_is_an_error():
    model = pretrained().requires_grad_(False)
    with pytest.raises(UserError, match="by hand"):
        freeze(model, 10)


def test_freezing_random_weights_warns():
    model = models.build_model("yolov5n", 3)
    with pytest.warns(UserWarning, match="random weights") as caught:
        freeze(model, 10)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        freeze(model, 10)  # nothing new
        freeze(model, None)
        freeze(pretrained(), 10)


@pytest.mark.parametrize(("name", "rows"), [("yolov5n", "model.24.m.1.bias"), ("yolo26n", "model.23.cv3.0.2.weight")])
def test_freezing_the_rows_of_unknown_classes_warns(name, rows):
    model = models.build_model(name, names=["cell", "dog"])
    known = models.build_model(name, names=["cat", "dog"])
    transfer(model, Checkpoint(known.state_dict(), known.names, known.family, known.size, 2))
    with pytest.warns(UserWarning, match="did not know 1 of its 2 classes") as caught:
        freeze(model, [rows])
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        freeze(model, "all-but-head")
        transfer(model, Checkpoint(known.state_dict(), model.names, known.family, known.size, 2))  # all are known
        freeze(model, [rows])


def test_a_frozen_head_that_was_fitted_to_other_classes_warns_in_training_alone():
    model = YOLO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.freeze("head")  # trained rows of 80 classes
    with pytest.warns(UserWarning, match="did not know 2 of its 2 classes"):
        fit_head(model.model, {0: "yeast", 1: "pollen"})


def test_phases_are_for_training():
    with pytest.raises(UserError, match="train"):
        freeze(pretrained(), [(5, "backbone"), (20, None)])
