"""Assignment, loss, gradients and two SGD steps equal the published fixtures."""

import pytest
import torch
from helpers import IMAGE_SEED, filled, image, load_fixture, uniform

from yolo_ft.core.config import TrainConfig
from yolo_ft.finetune.assign import assign
from yolo_ft.finetune.losses import DetectionLoss, scaled_gains
from yolo_ft.finetune.optimizers import build_optimizer
from yolo_ft.models import build_model

FACTS = load_fixture("yolov5_loss")
SMOOTHING = {"low_label_smoothing_0.1": 0.1}


def raw_maps():
    shapes = [(2, 3, 128 // s, 128 // s, 85) for s in (8, 16, 32)]
    return [(2 * (2 * uniform(shape, 2000 + i) - 1)).requires_grad_() for i, shape in enumerate(shapes)]


def make_loss(gains, smoothing=0.0, model=None):
    terms = {k: gains[k] for k in ("box", "obj", "cls")}
    config = TrainConfig(
        **{k: gains[k] for k in ("obj_pw", "cls_pw", "anchor_t", "fl_gamma")}, label_smoothing=smoothing
    )
    return DetectionLoss(model or build_model("yolov5n"), config, terms)


def targets(name):
    return torch.tensor(FACTS["targets"][name], dtype=torch.float32).reshape(-1, 6)


@pytest.mark.parametrize("name", FACTS["cases"])
def test_loss_and_gradients(name):
    case = FACTS["cases"][name]
    hyp, target_set = name.split("/")
    raw = raw_maps()
    total, parts = make_loss(case["gains"], SMOOTHING.get(hyp, 0.0))(raw, targets(target_set))
    assert total.item() == pytest.approx(case["loss"], rel=1e-5)
    assert [parts[k].item() for k in ("box", "obj", "cls")] == pytest.approx(case["items_box_obj_cls"], rel=1e-5)
    total.backward()
    for p, expected in zip(raw, case["grad"], strict=True):
        assert p.grad.double().abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-4)
        assert p.grad.double().sum().item() == pytest.approx(expected["sum"], rel=1e-4)


@pytest.mark.parametrize("name", ["simple", "edge"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_assignment(name, level):
    expected = FACTS[f"assign_{name}"][level]
    size = 128 // (8, 16, 32)[level]
    match = assign(targets(name), build_model("yolov5n").head.anchors[level], size, size, 4.0)
    ours = [match.images, match.anchors, match.rows, match.columns, match.labels]
    assert [t.tolist() for t in ours] == [expected[k] for k in ("image", "anchor", "gj", "gi", "cls")]
    assert match.boxes.flatten().tolist() == pytest.approx(torch.tensor(expected["tbox"]).flatten().tolist(), abs=1e-5)
    assert match.anchor_sizes.flatten().tolist() == pytest.approx(torch.tensor(expected["anch"]).flatten().tolist())


def test_assignment_of_nothing():
    match = assign(torch.zeros(0, 6), torch.ones(3, 2), 4, 7, 4.0)
    assert len(match.labels) == 0 and match.boxes.shape == (0, 4)


def test_loss_of_eval_maps():
    facts = FACTS["model_eval_raw_maps_b2_128_simple_low_unscaled"]
    model = filled(build_model("yolov5n")).eval()
    with torch.no_grad():
        total, parts = make_loss(FACTS["cases"]["low_unscaled/simple"]["gains"], model=model)(
            model(image(2, 128, 128)), targets("simple")
        )
    assert total.item() == pytest.approx(facts["loss"], rel=1e-4)
    assert [parts[k].item() for k in ("box", "obj", "cls")] == pytest.approx(facts["items"], rel=1e-4)


def test_two_sgd_steps():
    facts = FACTS["train_steps_sgd_nesterov"]
    model = filled(build_model("yolov5n")).train()
    loss = make_loss(FACTS["cases"]["low_unscaled/simple"]["gains"], model=model)
    config = TrainConfig(optimizer="SGD", lr0=0.01, momentum=0.937, weight_decay=0.0005, nominal_batch=2, batch=2)
    optimizer = build_optimizer(model, config)
    assert sorted(len(g["params"]) for g in optimizer.param_groups) == sorted(facts["group_sizes"])
    for step, expected in enumerate(facts["steps"]):
        total, parts = loss(model(image(2, 128, 128, IMAGE_SEED + step)), targets("simple"))
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad()
        assert total.item() == pytest.approx(expected["loss"], rel=1e-3)
        assert [parts[k].item() for k in ("box", "obj", "cls")] == pytest.approx(expected["items"], rel=1e-3)
        assert norm.item() == pytest.approx(expected["grad_norm_before_clip"], rel=1e-3)
        state = model.state_dict()
        for key, value in expected["probe"].items():
            assert state[key].double().sum().item() == pytest.approx(value, rel=1e-3, abs=2e-3)


def test_scaled_gains_by_hand():
    gains = scaled_gains(TrainConfig(imgsz=320, box=0.05, obj=1.0, cls=0.5), num_classes=8)
    assert gains == pytest.approx({"box": 0.05, "obj": 0.25, "cls": 0.05})


def test_one_class_has_no_class_loss():
    model = build_model("yolov5n", 1)
    raw = [torch.randn(1, 3, 4, 4, 6) for _ in range(3)]
    row = torch.tensor([[0, 0, 0.5, 0.5, 0.4, 0.2]])
    total, parts = DetectionLoss(model, TrainConfig(), {"box": 1.0, "obj": 1.0, "cls": 1.0})(raw, row)
    assert parts["cls"] == 0 and parts["box"] > 0 and torch.isfinite(total)


def test_a_cell_hit_twice_keeps_the_last_match():
    filled_target = DetectionLoss._objectness_target(
        torch.zeros(1, 1, 1, 4), torch.tensor([2, 0, 2]), torch.tensor([0.9, 0.5, -0.3])
    )
    assert filled_target.flatten().tolist() == [0.5, 0, 0, 0]
