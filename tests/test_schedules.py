"""Rates, momenta and accumulation against numbers worked out by hand; the optimiser's groups and memory."""

import math

import pytest
import torch

from yolo_ft.core.config import TrainConfig
from yolo_ft.finetune.ema import EMA, changing_tensors
from yolo_ft.finetune.freezing import freeze
from yolo_ft.finetune.optimizers import (
    build_optimizer,
    lower_rate,
    optimizer_state,
    parameter_groups,
    restore_optimizer_state,
)
from yolo_ft.finetune.schedules import accumulation_at, apply_schedule, rate_and_momentum, rate_factor, warmup_steps
from yolo_ft.models import build_model


@pytest.fixture
def model():
    model = build_model("yolov5n", 3)
    model.pretrained = True
    return model


@pytest.mark.parametrize(
    ("cosine", "epoch", "factor"),
    [(True, 0, 1.0), (True, 5, 0.55), (True, 10, 0.1), (False, 0, 1.0), (False, 5, 0.55), (False, 2, 0.82)],
)
def test_rate_factor(cosine, epoch, factor):
    assert rate_factor(TrainConfig(epochs=10, lrf=0.1, cos_lr=cosine), epoch) == pytest.approx(factor)


def test_cosine_is_above_the_line_early_and_below_late():
    cosine, line = TrainConfig(epochs=8, lrf=0.0), TrainConfig(epochs=8, lrf=0.0, cos_lr=False)
    assert rate_factor(cosine, 2) > rate_factor(line, 2) and rate_factor(cosine, 6) < rate_factor(line, 6)


def test_no_rate_of_the_warm_up_is_above_the_rate():
    """Biases that warm up from ten times the rate make a training that goes on from good weights collapse at first."""
    config = TrainConfig()
    rates = [
        rate_and_momentum(config, group, 0, step, 8)[0] for group in ("bias", "weight", "norm") for step in range(8)
    ]
    assert max(rates) <= config.lr0


def test_warm_up_rises_from_its_start_to_the_rate():
    config = TrainConfig(epochs=10, lr0=1.0, warmup_epochs=1.0, warmup_bias_lr=0.5, momentum=0.9, warmup_momentum=0.5)
    assert warmup_steps(config, 3) == 3
    weights = [rate_and_momentum(config, "weight", 0, step, 3)[0] for step in range(4)]
    biases = [rate_and_momentum(config, "bias", 0, step, 3)[0] for step in range(4)]
    momenta = [rate_and_momentum(config, "norm", 0, step, 3)[1] for step in range(4)]
    assert weights == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert biases == pytest.approx([0.625, 0.75, 0.875, 1.0])
    assert momenta == pytest.approx([0.6, 0.7, 0.8, 0.9])


def test_the_minimum_of_warm_up_steps_is_yolov5s():
    assert warmup_steps(TrainConfig(warmup_epochs=3.0, warmup_min_steps=100), 8) == 100
    assert warmup_steps(TrainConfig(warmup_epochs=0.0, warmup_min_steps=100), 8) == 0


def test_the_last_epoch_is_no_warm_up():
    """Ultralytics 8.4: at most all epochs but one, so that a short trial reaches its rate."""
    assert [warmup_steps(TrainConfig(epochs=n, warmup_epochs=3.0), 8) for n in (1, 2, 3, 4, 9)] == [0, 8, 16, 24, 24]


def test_accumulation_grows_during_warm_up():
    config = TrainConfig(batch=16, nominal_batch=64, warmup_epochs=1.0)
    assert [accumulation_at(config, step, 8) for step in (0, 4, 8, 80)] == [1, 2, 4, 4]
    assert accumulation_at(TrainConfig(batch=32, nominal_batch=16), 99, 8) == 1


def test_groups_hold_what_yolov5_puts_there(model):
    groups = parameter_groups(model)
    assert {name: len(members) for name, members in groups.items()} == {"bias": 60, "weight": 60, "norm": 57}


def test_weight_decay_is_scaled_to_the_images_of_a_step_and_only_on_weights(model):
    optimizer = build_optimizer(model, TrainConfig(batch=48, nominal_batch=64, weight_decay=0.1, optimizer="SGD"))
    assert {g["name"]: g["weight_decay"] for g in optimizer.param_groups} == pytest.approx(
        {"bias": 0, "weight": 0.1 * 48 / 64, "norm": 0}
    )


def test_frozen_parameters_are_in_no_group(model):
    freeze(model, 24)
    names = [n for g in build_optimizer(model, TrainConfig()).param_groups for n in g["names"]]
    assert sorted(names) == sorted(n for n, _ in model.named_parameters() if n.startswith("model.24."))


def test_a_phase_scales_every_rate(model):
    optimizer = build_optimizer(model, TrainConfig(optimizer="SGD"))
    config = TrainConfig(lr0=1.0, warmup_epochs=0.0, momentum=0.8, optimizer="SGD")
    assert apply_schedule(optimizer, config, 0, 0, 5, phase_rate=0.1) == pytest.approx(0.1)
    assert {g["lr"] for g in optimizer.param_groups} == {0.1} and optimizer.param_groups[0]["momentum"] == 0.8


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_optimiser_memory_survives_a_thaw(model, kind):
    config = TrainConfig(optimizer=kind, lr0=0.1)
    freeze(model, 24)
    before = build_optimizer(model, config)
    for p in model.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None
    before.step()
    freeze(model, 10)
    after = build_optimizer(model, config)
    restore_optimizer_state(after, optimizer_state(before))
    state = optimizer_state(after)
    assert sorted(state) == sorted(n for n, _ in model.named_parameters() if n.startswith("model.24."))
    for name, memory in optimizer_state(before).items():
        for key, value in memory.items():
            assert torch.equal(torch.as_tensor(state[name][key]), torch.as_tensor(value))


def test_ema_by_hand_and_frozen_tensors_untouched(model):
    freeze(model, 10)
    ema = EMA(model, decay=0.9, ramp=2.0)
    with torch.no_grad():
        for p in model.parameters():
            p += 1.0  # even the frozen ones: the average must not look at them
    start = {k: v.clone() for k, v in ema.model.state_dict().items()}
    ema.update()
    decay = 0.9 * (1 - math.exp(-1 / 2))
    now, key = ema.model.state_dict(), "model.24.m.0.weight"
    assert torch.allclose(now[key], start[key] + (1 - decay), atol=1e-6)
    assert torch.equal(now["model.0.conv.weight"], start["model.0.conv.weight"])
    assert ema.updates == 1


def test_what_can_change_under_a_freeze(model):
    freeze(model, 10, bn="running")
    moving = changing_tensors(model)
    assert "model.0.bn.running_mean" in moving and "model.0.conv.weight" not in moving
    freeze(model, 10)
    assert "model.0.bn.running_mean" not in changing_tensors(model)
    freeze(model, None)
    assert "model.0.conv.weight" in changing_tensors(model)


@pytest.mark.parametrize(
    ("optimizer", "too_high", "lower"),
    [("AdamW", 1.0, 0.002), ("AdamW", 0.005, 0.001), ("SGD", 1.0, 0.01), ("SGD", 0.02, 0.004), ("MuSGD", 1.0, 0.01)],
)
def test_the_rate_to_try_is_a_fifth_and_at_most_the_usual_one(optimizer, too_high, lower):
    assert lower_rate(TrainConfig(optimizer=optimizer, lr0=too_high)) == pytest.approx(lower)
