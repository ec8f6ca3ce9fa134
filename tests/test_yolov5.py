"""YOLOv5 computes what the published facts say: outputs and statistics. Names and counts: test_families.py."""

import numpy as np
import pytest
import torch
from helpers import filled, hash_uniform, image, load_fixture, matches

from yolo_ft.core.errors import UserError
from yolo_ft.models import build_model

PARITY = load_fixture("yolov5n_parity")


@pytest.fixture(scope="module")
def model():
    return filled(build_model("yolov5n")).eval()


def test_hash_agrees_with_the_published_vectors():
    for key, k in (("u_0_0", 0), ("u_k7", 7), ("u_k1000003", 1000003)):
        assert hash_uniform(np.arange(4), k).tolist() == PARITY["hash_check"][key]


def test_filled_tensors(model):
    for key, value in model.state_dict().items():
        if not key.endswith("anchors"):
            assert value.double().sum().item() == pytest.approx(PARITY["param_sums"][key], rel=1e-6, abs=1e-4)


@pytest.mark.parametrize("size", ["64", "128", "64x96"])
def test_eval_outputs(model, size):
    h, w = map(int, size.split("x")) if "x" in size else (int(size), int(size))
    expected = PARITY["eval"][size]
    with torch.no_grad():
        raw = model(image(1, h, w))
    for ours, entry in zip(raw, expected["raw"], strict=True):
        matches(ours, entry)
    matches(model.decode(raw), expected["decoded"])


def test_layer_outputs(model):
    with torch.no_grad():
        for stop, entry in enumerate(PARITY["eval"]["64"]["layer_outputs"], start=1):
            matches(model.run_layers({-1: image(1, 64, 64)}, 0, stop), entry)


def test_run_layers_in_two_parts_equals_forward(model):
    outputs = {-1: image(1, 64, 96)}
    with torch.no_grad():
        outputs[9] = model.run_layers(outputs, 0, 10)
        del outputs[-1]
        for ours, whole in zip(model.run_layers(outputs, 10), model(image(1, 64, 96)), strict=True):
            assert torch.equal(ours, whole)


def test_train_forward_and_running_statistics():
    model = filled(build_model("yolov5n")).train().double()  # 8 values per channel at P5: float32 rounding is amplified
    expected = PARITY["train_forward_b2_64"]
    for ours, entry in zip(model(image(2, 64, 64).double()), expected["raw"], strict=True):
        matches(ours, entry)
    state = model.state_dict()
    for key, total in expected["running_stats_after"].items():
        assert state[key].double().sum().item() == pytest.approx(total, rel=1e-4, abs=1e-3)
    assert state["model.0.bn.num_batches_tracked"] == expected["num_batches_tracked"]


def test_train_leaves_fixed_batchnorm_in_eval():
    model = build_model("yolov5n", 2)
    model.fixed_batchnorm = frozenset({"model.0.bn"})
    model.train()
    assert not model.model[0].bn.training and model.model[1].bn.training


def test_detection_priors():
    torch.manual_seed(0)
    bias = torch.stack([m.bias.detach().view(3, -1).mean(0) for m in build_model("yolov5n", 20).head.m])
    assert bias[:, 4] == pytest.approx([-6.685, -5.298, -3.912], abs=0.3)
    assert bias[:, 5:].mean() == pytest.approx(-3.455, abs=0.1)


@pytest.mark.parametrize("bad", ["yolov5", "yolov5q", "resnet"])
def test_unknown_model_names_the_known_ones(bad):
    with pytest.raises(UserError, match="yolov5n"):
        build_model(bad)


def test_names_decide_the_class_count():
    model = build_model("yolov5n", names=["cat", "dog"])
    assert model.names == {0: "cat", 1: "dog"} and model.head.m[0].out_channels == 21
