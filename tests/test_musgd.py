"""MuSGD, its groups, the rule of optimizer="auto" and training steps of YOLO26 equal the published fixtures."""

import pytest
import torch
from helpers import IMAGE_SEED, filled, image, load_fixture, uniform

from yolo_ft.core.config import TrainConfig
from yolo_ft.finetune.end_to_end_loss import EndToEndLoss
from yolo_ft.finetune.musgd import MuSGD, muon_update, orthogonalised
from yolo_ft.finetune.optimizers import build_optimizer, resolve_optimizer
from yolo_ft.finetune.schedules import apply_schedule
from yolo_ft.models import build_model

FACTS = load_fixture("yolo26_loss")
STEP = {"lr0": 0.01, "momentum": 0.937, "weight_decay": 0.0005, "nominal_batch": 2, "batch": 2}


@pytest.mark.parametrize("case", FACTS["muon"]["cases"], ids=lambda case: "x".join(map(str, case["shape"])))
@pytest.mark.parametrize(
    ("dtype", "key", "tolerance"), [(torch.float32, "fp32", 1e-4), (torch.bfloat16, "bf16", 2.5e-2)]
)
def test_the_orthogonalised_updates(case, dtype, key, tolerance):
    shape, j = case["shape"], FACTS["muon"]["cases"].index(case)
    buffer = torch.zeros(shape)
    for call, expected in enumerate(case["calls"]):
        gradient = 2 * uniform(tuple(shape), 8000 + j + 50 * call) - 1
        update = muon_update(gradient, buffer, 0.937, dtype).float()
        first = torch.tensor(expected[f"{key}_first"])
        torch.testing.assert_close(update.flatten()[: len(first)], first, rtol=tolerance, atol=tolerance)
        assert update.abs().sum().item() == pytest.approx(expected[f"{key}_abs_sum"], rel=tolerance)


def test_orthogonalised_directions_are_equally_strong():
    torch.manual_seed(0)
    for matrix in (torch.randn(6, 20), torch.randn(20, 6)):
        before, after = torch.linalg.svdvals(matrix), torch.linalg.svdvals(orthogonalised(matrix, torch.float32))
        assert before.max() / before.min() > 1.8 and 0.6 < after.min() and after.max() < 1.3


def test_a_step_by_hand():
    """A bias moves by nesterov SGD with its decay; nothing else happens to it."""
    p = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = MuSGD([{"params": [p], "weight_decay": 0.1}], lr=0.5, momentum=0.9)
    p.grad = torch.tensor([1.0, 0.0])
    optimizer.step()  # d = (1.2, -0.1), buffer = d, p -= 0.5 * 1.9 d
    assert p.tolist() == pytest.approx([2 - 0.5 * 1.9 * 1.2, -1 + 0.5 * 1.9 * 0.1])
    assert "muon_buffer" not in optimizer.state[p]


@pytest.mark.parametrize("name", ["MuSGD", "SGD", "AdamW"])
def test_the_groups(name):
    kinds = {"weight": "weight", "bn": "norm", "bias": "bias", "muon": "weight"}
    expected = sorted(
        (kinds[g["param_group"]], g["n"], g["numel"], g["lr"], g["weight_decay"])
        for g in FACTS["optimizer_groups"][name]
        if g["n"]
    )
    config = TrainConfig(optimizer=name, **{**STEP, "batch": 2})
    groups = build_optimizer(build_model("yolo26n"), config).param_groups
    rates = {id(g): config.lr0 * g.get("boost", 1.0) for g in groups}
    ours = sorted(
        (g["name"], len(g["params"]), sum(p.numel() for p in g["params"]), rates[id(g)], g["weight_decay"])
        for g in groups
    )
    for group, facts in zip(ours, expected, strict=True):
        assert group[:3] == facts[:3] and group[3:] == pytest.approx(facts[3:])
    assert all(g["muon"] == (g["name"] == "weight") for g in groups if "muon" in g)


def test_the_boost_lasts_through_warm_up_and_decay():
    config = TrainConfig(optimizer="MuSGD", epochs=4, warmup_epochs=1.0, warmup_bias_lr=0.1, lr0=0.01, batch=2)
    optimizer = build_optimizer(build_model("yolo26n", 2), config)
    for epoch, step in ((0, 3), (2, 30)):
        shown = apply_schedule(optimizer, config, epoch, step, 10)
        rates = {(g["name"], g["boost"]): g["lr"] for g in optimizer.param_groups}
        assert rates["weight", 3.0] == pytest.approx(3 * rates["weight", 1.0]) and shown == rates["weight", 1.0]
    assert rates["bias", 3.0] == pytest.approx(3 * rates["bias", 1.0])


@pytest.mark.parametrize("case", FACTS["optimizer_auto"])
def test_the_automatic_choice(case):
    facts = FACTS["optimizer_auto"][case]
    iterations, nc = (int(part.split("=")[1]) for part in case.split(","))
    config = TrainConfig(optimizer="auto", epochs=iterations, momentum=0.937, warmup_bias_lr=0.1)
    chosen = resolve_optimizer(config, images=64, num_classes=nc)
    assert (chosen.optimizer, chosen.lr0, chosen.warmup_bias_lr) == (facts["optimizer"], facts["lr0"], 0.0)
    groups = build_optimizer(build_model("yolo26n", nc), chosen).param_groups
    assert sorted({chosen.lr0 * g.get("boost", 1.0) for g in groups}) == pytest.approx(facts["lrs"])
    if chosen.optimizer == "AdamW":
        assert list(groups[0]["betas"]) == facts["momentum"]
    else:
        assert chosen.momentum == facts["args_momentum"]  # where the warm-up of the momentum ends


def test_a_large_batch_counts_as_itself_and_another_choice_stays():
    config = TrainConfig(optimizer="auto", epochs=100, batch=128)
    assert resolve_optimizer(config, 128 * 100, 3).optimizer == "AdamW"
    assert resolve_optimizer(config, 128 * 100 + 1, 3).optimizer == "MuSGD"
    given = TrainConfig(optimizer="SGD", lr0=0.3)
    assert resolve_optimizer(given, 10**9, 3) == given


@pytest.mark.parametrize("name", ["SGD", "MuSGD"])
def test_two_training_steps(name):
    model = filled(build_model("yolo26n"), "yolo26n").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    config = TrainConfig(optimizer=name, **STEP)
    loss, optimizer = EndToEndLoss(config, 0.8), build_optimizer(model, config)
    for group in optimizer.param_groups:
        group["lr"] = config.lr0 * group.get("boost", 1.0)
    targets = torch.tensor(FACTS["targets"]["simple"])
    for step, expected in enumerate(FACTS[f"train_steps_{name}"]["steps"]):
        total, parts = loss(model(image(2, 128, 128, IMAGE_SEED + step)), targets)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad()
        assert total.item() == pytest.approx(sum(expected["vector"]), rel=1e-2)
        items = [expected["items"][f"{part}_loss"] for part in ("box", "cls", "l1")]
        assert [x.item() for x in parts.values()] == pytest.approx(items, rel=1e-2)
        assert norm.item() == pytest.approx(expected["grad_norm"], rel=1e-2)
        state = model.state_dict()
        for key, value in expected["probe_delta_abs_sum"].items():
            moved = (state[key] - before[key]).double().abs().sum().item()
            assert moved == pytest.approx(value, rel=5e-2 if name == "MuSGD" else 1e-2), key  # Muon computes in bf16
