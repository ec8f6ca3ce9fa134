"""YOLO26 computes what the published facts say, in both ways to detections. Names and counts: test_families.py."""

import math

import numpy as np
import pytest
import torch
from helpers import close, filled, hash_uniform, image, load_fixture, matches

from yolo_ft.core.boxes import nms
from yolo_ft.core.errors import UserError
from yolo_ft.finetune.accounting import measure
from yolo_ft.finetune.freeze_plan import FreezePlan
from yolo_ft.models import build_model, model_for
from yolo_ft.models.layers import Conv, folded_batchnorm

PARITY = load_fixture("yolo26n_parity")
NAMES = [f"yolo26{size}" for size in "nsmlx"]
SHAPES = {"64": (64, 64), "128": (128, 128), "64x96": (64, 96)}


@pytest.fixture(scope="module")
def model():
    return filled(build_model("yolo26n"), "yolo26n").eval()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nc", [80, 20])
def test_convolutions_are_counted_as_published(name, nc):
    with torch.device("meta"):
        model = build_model(name, num_classes=nc)
    macs = load_fixture("yolo26_layers")[name[-1]]["conv_macs_640"][f"both_heads_nc{nc}"]
    assert sum(measure(model, 640).flops) == 2 * macs


def test_layer_shapes():
    facts = load_fixture("yolo26_layers")["n"]["layer_out_shape_at_64"]
    shapes = measure(build_model("yolo26n"), 64).shapes
    assert [list(shape) for shape in shapes[:-1]] == facts[:-1]
    assert shapes[-1] == [(1, 84, 64 // s, 64 // s) for _ in range(2) for s in (8, 16, 32)]


def test_filled_tensors(model):
    for key, value in model.state_dict().items():
        assert value.double().sum().item() == pytest.approx(PARITY["param_sums"][key], rel=1e-6, abs=1e-4)


@pytest.mark.parametrize("size", SHAPES)
def test_raw_maps_and_decoding(model, size):
    expected = PARITY["eval"][size]
    with torch.no_grad():
        raw = model(image(1, *SHAPES[size]))
    for maps, entry in ((raw[:3], expected["one2many"]), (raw[3:], expected["one2one"])):
        for x, boxes, scores in zip(maps, entry["boxes"], entry["scores"], strict=True):
            matches(x[:, :4], boxes)
            matches(x[:, 4:], scores)
    matches(model.decode(raw).transpose(1, 2), expected["one2many_decoded_xywh_then_scores"])


@pytest.mark.parametrize("size", SHAPES)
def test_the_best_of_the_one_to_one_head(model, size):
    expected = PARITY["eval"][size]["one2one_topk_xyxy_score_cls"]
    with torch.no_grad():
        rows = model.decode_once(model(image(1, *SHAPES[size])))
    assert list(rows.shape) == expected["shape"]
    close(rows, [value for row in expected["rows"] for value in row])
    assert rows.double().sum().item() == pytest.approx(expected["sum"], rel=1e-4)
    assert rows[..., 4].double().sum().item() == pytest.approx(expected["score_sum"], rel=1e-4)
    assert rows[..., 5].sum() == expected["cls_sum"]


def test_layer_outputs(model):
    with torch.no_grad():
        for stop, entry in enumerate(PARITY["eval"]["64"]["layer_outputs"], start=1):
            matches(model.run_layers({-1: image(1, 64, 64)}, 0, stop), entry)


@pytest.mark.parametrize("depth", [10, 11, 23])
def test_run_layers_in_two_parts_equals_forward(model, depth):
    outputs = {-1: image(1, 64, 96)}
    with torch.no_grad():
        outputs[depth - 1] = model.run_layers(outputs, 0, depth)
        del outputs[-1]
        for ours, whole in zip(model.run_layers(outputs, depth), model(image(1, 64, 96)), strict=True):
            assert torch.equal(ours, whole)


def test_train_forward_and_running_statistics():
    model = filled(build_model("yolo26n"), "yolo26n").train().double()
    expected = PARITY["train_forward_b2_64"]
    raw = model(image(2, 64, 64).double())
    for maps, entry in ((raw[:3], expected["one2many"]), (raw[3:], expected["one2one"])):
        whole = torch.cat([x.flatten(2) for x in maps], 2)  # (b, 4 + nc, places)
        matches(whole[:, :4], entry["boxes"])
        matches(whole[:, 4:], entry["scores"])
    state = model.state_dict()
    for key, total in expected["running_stats_after"].items():
        assert state[key].double().sum().item() == pytest.approx(total, rel=1e-4, abs=1e-3)


def test_the_one_to_one_loss_does_not_reach_the_neck(model):
    raw = build_model("yolo26n", 2).train()
    maps = raw(image(2, 64, 64))
    sum(x.sum() for x in maps[3:]).backward()
    reached = {name.split(".")[2] for name, p in raw.named_parameters() if p.grad is not None}
    assert reached == {"one2one_cv2", "one2one_cv3"}
    assert all(name.startswith("model.23.") for name, p in raw.named_parameters() if p.grad is not None)


def test_folded_it_computes_the_same(model):
    with torch.no_grad(), folded_batchnorm(model):
        folded = model(image(1, 64, 96))
    assert all(module.folded is None for module in model.modules() if isinstance(module, Conv))
    with torch.no_grad():
        for ours, plain in zip(folded, model(image(1, 64, 96)), strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def test_priors_and_equal_heads():
    model = build_model("yolo26n", 80)
    expected = [math.log(5 / 80 / (640 / s) ** 2) for s in (8, 16, 32)]
    assert expected == pytest.approx([-11.537, -10.150, -8.764], abs=1e-3)
    for boxes, classes in ((model.head.cv2, model.head.cv3), (model.head.one2one_cv2, model.head.one2one_cv3)):
        assert all((branch[-1].bias == 2).all() for branch in boxes)
        assert [branch[-1].bias.mean().item() for branch in classes] == pytest.approx(expected)
    state = model.state_dict()
    twins = [key for key in state if ".one2one_" in key]
    assert twins and all(torch.equal(state[key], state[key.replace("one2one_", "")]) for key in twins)


@pytest.mark.parametrize("name", ["yolov5n", "yolov5m", "yolo26n", "yolo26l"])
def test_an_architecture_is_recognised_by_its_tensors(name):
    with torch.device("meta"):
        model = build_model(name, 3)
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    found = model_for(shapes)
    assert (found.family + found.size, found.num_classes) == (name, 3)
    shapes["model.0.conv.weight"][0] += 8
    assert model_for(shapes) is None and model_for({}) is None


def test_a_wider_class_branch_is_recognised():
    with torch.device("meta"):
        wide = type(build_model("yolo26n"))("n", {0: "cell", 1: "dust"}, class_width=80)
    assert sum(p.numel() for p in wide.parameters()) == 2_533_886 + (2_534_858 - 2_533_886) // 2
    found = model_for({key: value.shape for key, value in wide.state_dict().items()})
    assert (found.head.class_width, found.num_classes) == (80, 2)


def test_stages():
    stages = build_model("yolo26n", 1).stages
    assert stages == {"backbone": range(0, 11), "neck": range(11, 23), "head": range(23, 24)}


@pytest.mark.parametrize("case", ["val_default", "predict_default", "agnostic"])
def test_suppression_without_objectness(case):
    facts = load_fixture("yolo26_misc")["nms"]["cases"][case]
    args = facts["args"]
    a = torch.from_numpy(hash_uniform(np.arange(960), 3002)).view(120, 8)
    rows = torch.cat([20 + 88 * a[:, :2], 10 + 50 * a[:, 2:4], a[:, 4:]], 1).float()[None]
    found = nms(
        rows,
        args["conf_thres"],
        args["iou_thres"],
        args.get("multi_label", False),
        args["max_det"],
        args.get("agnostic", False),
        objectness=False,
    )[0]
    assert len(found) == facts["n"]
    close(found, [value for row in facts["rows"] for value in row])
    assert found.double().sum().item() == pytest.approx(facts["sum"], rel=1e-5)


def test_both_ways_to_detections(model):
    with torch.no_grad():
        raw = model(image(2, 64, 96))
    once = model.detections(raw, 0.95, end_to_end=True)
    for rows, whole in zip(once, model.decode_once(raw), strict=True):
        assert 0 < len(rows) < 126 and torch.equal(rows, whole[: len(rows)]) and (rows[:, 4] > 0.95).all()
    many = model.detections(raw, 0.9, iou=0.7)
    assert all(torch.equal(a, b) for a, b in zip(many, nms(model.decode(raw), 0.9, 0.7, objectness=False), strict=True))
    with pytest.raises(UserError, match="YOLOv5 .* YOLO26"):
        build_model("yolov5n", 1).detections([], end_to_end=True)


def test_the_head_that_is_not_asked_is_left_out_and_the_answers_stay(model):
    with torch.no_grad():
        raw = model(image(2, 64, 96))
        for end_to_end, expected in ((False, raw[:3]), (True, raw[3:])):
            with model.answering(end_to_end):
                some = model(image(2, 64, 96))
            assert len(some) == 3 and all(torch.equal(a, b) for a, b in zip(some, expected, strict=True))
            a, b = (model.detections(maps, 0.9, 0.7, end_to_end=end_to_end) for maps in (some, raw))
            assert len(a[0]) > 0 and all(torch.equal(*pair) for pair in zip(a, b, strict=True))
        with pytest.raises(KeyError), model.answering(True):
            raise KeyError
        assert len(model(image(2, 64, 96))) == 6
    with build_model("yolov5n", 1).answering(False):
        pass


def test_a_place_may_answer_with_several_classes_and_never_more_than_there_are_places():
    model = build_model("yolo26n", 3)
    raw = [torch.full((1, 7, 2 * s, 2 * s), -9.0) for s in (4, 2, 1)] * 2
    raw[3][0, 4:, 3, 5] = torch.tensor([2.0, -1.0, 1.0])
    raw[3][0, :4, 3, 5] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    rows = model.decode_once(raw)[0]
    box = [(5.5 - 1) * 8, (3.5 - 2) * 8, (5.5 + 3) * 8, (3.5 + 4) * 8]
    assert len(rows) == 64 + 16 + 4 and rows[:3, 5].tolist() == [0, 2, 1]
    assert rows[:3, :4].tolist() == [box] * 3
    assert rows[:3, 4].tolist() == pytest.approx([1 / (1 + math.exp(-x)) for x in (2, 1, -1)])


@pytest.mark.parametrize("prefix", [10, 11, 23])
def test_what_a_frozen_prefix_keeps_is_read_off_one_pass(prefix):
    model = build_model("yolo26n", 3)
    frozen = FreezePlan.parse(model, prefix).parameters
    assert measure(model, 64, frozen).total_kept == measure(model, 64).kept_above(prefix)
