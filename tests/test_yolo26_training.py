"""YOLO26 through everything that trains: freezing, cache, phases, resume, checkpoints, other classes. Nothing special.

The tests of YOLOv5's training hold the details; these ask whether they hold for the second family too.
"""

import numpy as np
import pytest
import torch
from helpers import image
from test_trainer import Kill, assert_same, killer, last
from training_set import tiny_set, train  # noqa: F401  (tiny_set is a fixture)

from yolo_ft import resume
from yolo_ft.api import YOLO, fit_head
from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import load_dataset
from yolo_ft.finetune.checkpoints import Checkpoint, load_checkpoint
from yolo_ft.finetune.end_to_end_loss import EndToEndLoss
from yolo_ft.finetune.evaluation import detect
from yolo_ft.finetune.freezing import freeze
from yolo_ft.finetune.transfer import transfer
from yolo_ft.models import build_model

CLASS_ROWS = [
    f"model.23.{branch}.{level}.2.{kind}"
    for branch in ("cv3", "one2one_cv3")
    for level in range(3)
    for kind in ("weight", "bias")
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "cache"))


def new():
    model = YOLO("yolo26n.yaml")
    model.model.pretrained = True  # what is frozen here is not the point
    return model


@pytest.mark.parametrize(
    ("settings", "kill"),
    [
        ({"freeze": [(1, 11), (1, "backbone", 0.5), (1, None, 0.1)], "epochs": None}, (2, 0)),
        ({"freeze": 23, "optimizer": "MuSGD", "lr0": 0.01, "views": 1}, (2, 1)),
    ],
)
def test_resume_gives_the_bytes_of_an_uninterrupted_run(tiny_set, tmp_path, settings, kill):  # noqa: F811
    whole = train(tiny_set, tmp_path, new(), name="whole", **settings)[1]
    with pytest.raises(Kill):
        train(tiny_set, tmp_path, new(), name="killed", listeners=[killer(*kill)], **settings)
    model, resumed = resume(tmp_path / "killed", listeners=[])
    ours, theirs = last(resumed), last(whole)
    for content in (ours, theirs):
        del content["training"]["cached"]  # the killed run finds the views of the whole one
    assert_same(ours, theirs)
    assert model.model.family == "yolo26" and whole.summary["model"] == "yolo26n"
    shown = ["epoch", "phase", "lr", "loss", "box", "cls", "l1", "map50"]
    assert resumed.history[shown].equals(whole.history[shown]) and whole.history[shown].notna().all().all()
    assert whole.config["box"] == 7.5


@pytest.mark.parametrize("depth", [10, 11, 23])
def test_a_cached_prefix_gives_the_bytes_of_a_fresh_one_and_keeps_its_own(tiny_set, tmp_path, depth):  # noqa: F811
    model = new()
    before = {k: v.clone() for k, v in model.model.state_dict().items()}
    settings = {"freeze": depth, "views": 1, "epochs": 2}
    cached = train(tiny_set, tmp_path, model, name="cached", **settings)[1]
    fresh = train(tiny_set, tmp_path, new(), name="fresh", prefix_cache=False, **settings)[1]
    assert cached.summary["prefix_cache"]["bytes"] > 0 and fresh.summary["prefix_cache"] is None
    ours = last(cached)
    assert_same(ours["state_dict"], last(fresh)["state_dict"])
    for state in (ours["state_dict"], ours["training"]["ema"], load_checkpoint(cached.weights("best")).state_dict):
        frozen = [k for k in before if int(k.split(".")[1]) < depth]
        assert frozen and all(torch.equal(state[k], before[k]) for k in frozen)
    moving = [k for k in before if int(k.split(".")[1]) >= depth and k.endswith(("conv.weight", "running_mean"))]
    assert moving and all(not torch.equal(ours["state_dict"][k], before[k]) for k in moving)


def test_it_learns_and_its_file_gives_the_same_detections(tiny_set, tmp_path):  # noqa: F811
    model, run = train(tiny_set, tmp_path, new(), epochs=4, lr0=0.005, mosaic=0.0, warmup_epochs=0.0, batch=3)
    loss = run.history["loss"]
    assert loss.iloc[-1] < loss.iloc[0]
    loaded = YOLO(run.weights("best"))
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    for nms in (True, False):
        ours, theirs = (m.predict(picture, conf=1e-6, imgsz=64, nms=nms)[0] for m in (model, loaded))
        assert len(ours) > 0 and np.array_equal(ours.boxes, theirs.boxes) and np.array_equal(ours.scores, theirs.scores)


def test_suppression_is_done_unless_it_is_refused(tiny_set, monkeypatch):  # noqa: F811
    """`nms=None` is Ultralytics' way to leave it out of a call."""
    model, asked = new(), []

    def note(model, raw, *how):
        asked.append(how[-1])
        return [torch.zeros(0, 6)] * len(raw[0])

    monkeypatch.setattr(type(model.model), "detections", note)
    picture = np.zeros((96, 96, 3), np.uint8)
    for nms in (None, True, False):
        model.predict(picture, imgsz=64, nms=nms)
        model.predict(picture, tile=64, nms=nms)
        model.val(tiny_set, imgsz=64, nms=nms)
    assert asked[: len(asked) * 2 // 3] == [False] * (len(asked) * 2 // 3)
    assert asked[len(asked) * 2 // 3 :] == [True] * (len(asked) // 3)


def test_every_epoch_has_its_own_loss(tiny_set, tmp_path, monkeypatch):  # noqa: F811
    shares, plain = [], EndToEndLoss.for_epoch.__func__
    note = classmethod(lambda cls, model, config, epoch: shares.append(epoch) or plain(cls, model, config, epoch))
    monkeypatch.setattr(EndToEndLoss, "for_epoch", note)
    train(tiny_set, tmp_path, new(), epochs=3)
    assert list(dict.fromkeys(shares)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "rate", "decay"),
    [
        ({"optimizer": "MuSGD"}, 0.01, 0.0005),
        ({"optimizer": "SGD"}, 0.01, 0.0005),
        ({"optimizer": "AdamW"}, 0.002, 0.05),
        ({"optimizer": "auto"}, round(0.01 / 6, 6), 0.0005),
        ({"optimizer": "SGD", "lr0": 0.1, "weight_decay": 0.2}, 0.1, 0.2),
    ],
)
def test_an_optimiser_comes_with_its_own_rate_and_decay(tiny_set, tmp_path, given, rate, decay):  # noqa: F811
    """AdamW's decay of 0.05 would shrink the weights of the others to nothing."""
    run = train(tiny_set, tmp_path, new(), epochs=1, **given)[1]
    assert (run.config["lr0"], run.config["weight_decay"]) == (rate, decay)


def test_automatic_optimiser_is_resolved_in_the_run(tiny_set, tmp_path):  # noqa: F811
    run = train(tiny_set, tmp_path, new(), epochs=1, optimizer="auto")[1]
    assert (run.config["optimizer"], run.config["lr0"]) == ("AdamW", round(0.01 / 6, 6))
    with pytest.warns(UserWarning, match="optimizer='auto' chooses the rate itself, so lr0=0.5 is not used"):
        train(tiny_set, tmp_path, new(), epochs=1, optimizer="auto", lr0=0.5)


def test_both_ways_of_measuring(tiny_set):  # noqa: F811
    model, data = new().model, load_dataset(tiny_set, "val")
    assert (model.val_iou, build_model("yolov5n", 1).val_iou) == (0.7, 0.6)
    once = detect(model, data, 64, confidence=0.0, end_to_end=True)
    assert [len(found) for found in once] == [63] * 3 or all(0 < len(found) <= 300 for found in once)
    many = detect(model, data, 64, confidence=0.0)
    assert all(len(found) > 0 for found in many)
    with pytest.raises(UserError, match="YOLO26 can do without"):
        YOLO("yolov5n.yaml").val(data, imgsz=64, nms=False)


def test_settings_of_the_other_family_are_named(tiny_set, tmp_path):  # noqa: F811
    with pytest.raises(UserError, match="loss of yolo26 has no use for obj, anchor_t: leave out"):
        train(tiny_set, tmp_path, new(), epochs=1, obj=0.5, anchor_t=3.0)
    with pytest.raises(UserError, match="give settings by name"):
        train(tiny_set, tmp_path, new(), epochs=1, hyp="hyp.finetune")


def test_freeze_ten_says_where_the_backbone_ends():
    report = str(freeze(new().model, 10, imgsz=64))
    assert "layers 0-9 (part of backbone, which is layers 0-10: stem, P1/2 ... P5/32 pool)" in report
    assert "1,115,744 of 2,572,280" in report
    assert "layers 0-10 (backbone: stem, P1/2 ... P5/32 attention)" in str(freeze(new().model, 11, imgsz=64))
    for depth, share in ((11, 0.531), (23, 0.880)):
        assert freeze(new().model, depth, imgsz=64).frozen_share == pytest.approx(share, abs=5e-4)


def source_of(names, width=None):
    """A checkpoint of YOLO26n whose class biases tell their row."""
    torch.manual_seed(3)
    model = build_model("yolo26n", names=names)
    if width:
        model.head.widen(width)
    for key, tensor in model.state_dict().items():
        if key in CLASS_ROWS:
            tensor.copy_(torch.arange(len(names)).view(-1, *[1] * (tensor.ndim - 1)).expand_as(tensor))
    return Checkpoint(model.state_dict(), model.names, "yolo26", "n", len(names))


def test_other_classes_carry_rows_by_name_in_both_heads():
    source = source_of(["person", "Dog", "cat", "bus"])
    model = build_model("yolo26n", names=["CAT ", "zebra", "dog"])
    prior = model.head.cv3[0][-1].bias[1].item()
    report = transfer(model, source)
    assert sorted(report.reshaped) == sorted(CLASS_ROWS) and not report.missing and not report.unexpected
    assert report.class_rows == {"CAT ": (2, 0), "dog": (1, 2)} and report.fresh_classes == ["zebra"]
    for key in CLASS_ROWS:
        tensor = model.state_dict()[key]
        assert (tensor[0] == 2).all() and (tensor[2] == 1).all()
    assert model.head.cv3[0][-1].bias[1].item() == prior == model.head.one2one_cv3[0][-1].bias[1].item()
    for key in report.matched:
        assert torch.equal(model.state_dict()[key], source.state_dict[key]), key


def test_few_classes_from_many_keep_the_hidden_layers_of_the_class_branch():
    names = [f"thing {i}" for i in range(79)] + ["cell"]
    source = source_of(names)
    assert source.state_dict["model.23.cv3.0.0.1.conv.weight"].shape[0] == 80
    model = build_model("yolo26n", names=["cell", "dust"])
    model.requires_grad_(False)
    model.eval()
    report = transfer(model, source)
    assert sum(p.numel() for p in model.parameters()) == 2_533_886 + 486 and len(report.missing) == 0
    assert model.head.class_width == 80 and (model.head.cv3[1][-1].weight[0] == 79).all()
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(module.training for module in model.modules())
    raw = model(image(1, 64, 64))
    assert [x.shape[1] for x in raw] == [6] * 6


def test_fitting_the_head_keeps_the_freeze():
    model = new().model
    freeze(model, "model.23.cv3", imgsz=64)
    with pytest.warns(UserWarning, match="did not know 2 of its 2 classes"):  # the last layer of the branch
        fitted = fit_head(model, {0: "bright", 1: "dark"})
    frozen = {name for name, p in fitted.named_parameters() if not p.requires_grad}
    assert fitted.head.class_width == 80
    assert frozen == {name for name, _ in fitted.named_parameters() if name.startswith("model.23.cv3.")}
