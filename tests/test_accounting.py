"""Bytes kept for backward, FLOPs and ideal speed-ups, against published tables and by hand."""

from __future__ import annotations

import pytest
import torch
from helpers import load_fixture

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.accounting import MIB, depth_table, ideal_cached_speedup, ideal_speedup, measure
from yolo_ft.finetune.freeze_report import freeze_report
from yolo_ft.finetune.freezing import FreezePlan, apply_plan
from yolo_ft.models import build_model

# YOLOv5m, 512 px, 20 classes: freeze, frozen parameters %, MiB kept, % kept, FLOPs %, ideal, ideal with a cache
YOLOV5M = [
    (0, 0.0, 348.7, 100.0, 0.0, 1.00, 1.00),
    (3, 0.5, 225.6, 64.7, 13.5, 1.10, 1.16),
    (5, 3.5, 159.6, 45.8, 29.7, 1.25, 1.42),
    (7, 18.6, 117.6, 33.7, 50.8, 1.51, 2.03),
    (10, 58.1, 97.6, 28.0, 64.5, 1.75, 2.82),
    (14, 65.1, 76.6, 22.0, 72.8, 1.94, 3.68),
    (24, 99.5, 5.2, 1.5, 99.3, 2.96, 149),
]


@pytest.fixture(scope="module")
def nano():
    return build_model("yolov5n", 3)


@pytest.fixture(scope="module")
def medium():
    return build_model("yolov5m", 20)


def percent(value):
    return float(f"{100 * value:.1f}")


@pytest.mark.parametrize("row", YOLOV5M, ids=lambda row: f"freeze {row[0]}")
def test_table_of_yolov5m(medium, row):
    freeze_to, parameters, mib, kept, flops, ideal, cached = row
    report = freeze_report(medium, FreezePlan.parse(medium, freeze_to), 512)
    assert percent(report.frozen_share) == parameters
    assert float(f"{report.kept_bytes / MIB:.1f}") == mib
    assert percent(report.kept_share) == kept
    assert percent(report.frozen_flops_share) == flops
    assert float(f"{report.speedup:.2f}") == ideal
    if freeze_to:
        assert float(f"{report.cached_speedup:.2f}" if cached < 100 else f"{report.cached_speedup:.0f}") == cached
    else:
        assert report.cached_speedup is None


@pytest.mark.parametrize(("name", "kept", "flops"), [("yolov5n", 27.4, 65.7), ("yolov5s", 27.8, 65.1)])
def test_freeze_10_of_the_small_sizes(name, kept, flops):
    table = depth_table(build_model(name, 20), 512).set_index("freeze")
    assert percent(table.kept_share[10]) == kept
    assert percent(table.flops_share[10]) == flops


@pytest.mark.parametrize("size", "nsm")
def test_flops_are_twice_the_published_multiply_adds(size):
    macs = load_fixture("yolov5_layers")[size]["conv_macs_640"]
    for num_classes in (80, 20):
        assert sum(measure(build_model(f"yolov5{size}", num_classes)).flops) == 2 * macs[f"nc{num_classes}"]


def test_bytes_of_one_block_by_hand(nano):
    """Layer 0 at 64 px: image 3x64x64, then convolution, normalised and activated maps of 16x32x32."""
    footprint = measure(nano, 64)
    maps = 3 * 64 * 64 + 3 * 16 * 32 * 32
    statistics = 4 * 16  # running mean and variance, mean and deviation of the batch
    assert footprint.kept[0] == 4 * (maps + statistics)
    assert footprint.flops[0] == 2 * (16 * 32 * 32) * (3 * 6 * 6)
    assert footprint.shapes[0] == (1, 16, 32, 32)
    assert footprint.shapes[-1] == [(1, 3, 8, 8, 8), (1, 3, 4, 4, 8), (1, 3, 2, 2, 8)]


@pytest.mark.parametrize("spec", [None, 10, "head", "*.bn.*", [0, 5, 13], "*.conv"])
@pytest.mark.parametrize("batchnorm", ["fixed", "running"])
def test_counting_without_numbers_equals_a_real_forward_pass(spec, batchnorm):
    model = build_model("yolov5n", 3)
    model.pretrained = True
    plan = apply_plan(model, FreezePlan.parse(model, spec, batchnorm))
    expected = measure(model, 64, plan.parameters, batchnorm).total_kept
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved = {}  # tensors kept alive, so that no address is used twice
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.setdefault(id(t), t), lambda t: t):
        model(torch.rand(1, 3, 64, 64))
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved.values()}
    assert sum(size for address, size in storages.items() if address not in parameters) == expected


def test_depth_table_agrees_with_measuring_every_depth(nano):
    table = depth_table(nano, (64, 96))
    assert list(table.freeze) == list(range(25))
    for freeze_to in (0, 1, 4, 10, 11, 12, 13, 17, 24):
        plan = FreezePlan.parse(nano, freeze_to)
        assert measure(nano, (64, 96), plan.parameters).total_kept == table.kept_bytes[freeze_to]
    assert table.kept_bytes.is_monotonic_decreasing and table.flops_share.is_monotonic_increasing
    assert table.layer[10] == "P5/32 pool" and table.layer[0] == "none"


def test_ideal_speedups_by_hand():
    assert ideal_speedup(0) == ideal_cached_speedup(0) == 1
    assert ideal_speedup(0.75) == 2  # forward of everything (1) + both gradients of a quarter (0.5), instead of 3
    assert ideal_cached_speedup(0.75) == 4


def test_speedup_of_other_plans_sums_layers_by_hand(nano):
    free = measure(nano, 64)
    total = sum(free.flops)
    # nothing frozen: everything costs three times its forward pass, but nobody needs the gradient of the image
    assert free.step_flops == 3 * total - free.flops[0]
    head = freeze_report(nano, FreezePlan.parse(nano, "head"), 64)
    # the frozen head loses only its weight gradient: what is below still trains
    assert head.speedup == free.step_flops / (free.step_flops - free.flops[24])
    assert head.cached_speedup is None and head.frozen_flops == free.flops[24]
    # layers 0, 1 and 5: above the frozen prefix, layer 2 starts the backward pass and needs no input gradient
    mixed = freeze_report(nano, FreezePlan.parse(nano, [0, 1, 5]), 64)
    entry = 2 * (32 * 16 * 16) * 16 * 2  # two 1x1 convolutions, 32 -> 16 channels at 16x16, that read layer 1
    step = 3 * total - 2 * (free.flops[0] + free.flops[1]) - free.flops[5] - entry
    assert mixed.speedup == free.step_flops / step
    assert mixed.cached_speedup == free.step_flops / (step - free.flops[0] - free.flops[1])


def test_a_prefix_with_moving_statistics_cannot_be_cached(nano):
    report = freeze_report(nano, FreezePlan.parse(nano, 10, "running"), 64)
    fixed = freeze_report(nano, FreezePlan.parse(nano, 10), 64)
    assert report.cached_speedup is None and fixed.cached_speedup > 1
    assert report.speedup == fixed.speedup and report.kept_bytes == fixed.kept_bytes


def test_measuring_touches_nothing():
    model = build_model("yolov5n", 3).eval()
    model.model[3].bn.train()
    model.model[0].conv.weight.grad = torch.ones_like(model.model[0].conv.weight)
    model.model[2].register_forward_hook(lambda *_: pytest.fail("a hook of the user ran"))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random_state = torch.get_rng_state()
    with torch.inference_mode():
        depth_table(model, 64)
        freeze_report(model, FreezePlan.parse(model, 10), 64)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(p.requires_grad for p in model.parameters()) and not model.fixed_batchnorm
    assert model.model[0].conv.weight.grad is not None and torch.equal(torch.get_rng_state(), random_state)


def test_half_precision_weights_count_as_float32(nano):
    assert measure(build_model("yolov5n", 3).half(), 64) == measure(nano, 64)


@pytest.mark.parametrize("imgsz", [0, 32, 100, (64, 65), -64, 64.0, (64,), None])
def test_sizes_that_the_network_cannot_take(nano, imgsz):
    with pytest.raises(UserError, match="multiples of 32"):
        measure(nano, imgsz)


def test_report_as_text(nano):
    report = freeze_report(nano, FreezePlan.parse(nano, 10), 320)
    lines = dict(line.split("  ", 1) for line in str(report).splitlines())
    assert lines["frozen"].strip() == "layers 0-9 (backbone: stem, P1/2 ... P5/32 pool)"
    assert lines["frozen parameters"].strip() == "1,046,368 of 1,767,976 (59.2%)"
    assert lines["kept for backward per image"].strip().endswith("(27.4%) at 320 px")
    assert report.frozen_parameters + report.trainable_parameters == report.parameters
    assert "<th scope='row'" in report._repr_html_() and "layers 0-9" in report._repr_html_()
