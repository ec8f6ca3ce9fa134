"""Carrying weights to other classes: which rows are kept, which move with their class's name, which stay fresh."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import filled, image

from yolo_ft.api import fit_head
from yolo_ft.core.errors import UserError
from yolo_ft.finetune.checkpoints import Checkpoint
from yolo_ft.finetune.transfer import transfer
from yolo_ft.models import build_model

HEAD = [f"model.24.m.{level}.{kind}" for level in range(3) for kind in ("weight", "bias")]
SOURCE = ["person", "Dog", "cat", "bus"]


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    """Every value of the head tells its row: anchor * 100 + channel (0-4 box and objectness, 5.. classes)."""
    torch.manual_seed(3)
    model = build_model("yolov5n", names=SOURCE)
    with torch.no_grad():
        for conv in model.head.m:
            rows = torch.arange(3)[:, None] * 100.0 + torch.arange(9)
            conv.bias.copy_(rows.flatten())
            conv.weight.copy_(rows.flatten().view(-1, 1, 1, 1).expand_as(conv.weight))
    model.head.anchors.mul_(1.5)
    model.model[9].cv1.bn.running_mean.fill_(7)
    return Checkpoint(model.state_dict(), model.names, "yolov5", "n", 4)


def head_rows(model, key: str) -> torch.Tensor:
    """(3 anchors, 5 + nc): the first column of every row of a head tensor."""
    return model.state_dict()[key].reshape(3, 5 + model.num_classes, -1)[:, :, 0]


def test_other_classes_keep_boxes_and_carry_class_rows_by_name(trained):
    torch.manual_seed(0)
    model = build_model("yolov5n", names=["CAT ", "zebra", "dog"])
    fresh = copy.deepcopy(model.state_dict())
    report = transfer(model, trained)
    assert report.class_rows == {"CAT ": (2, 0), "dog": (1, 2)} and report.fresh_classes == ["zebra"]
    assert report.reshaped == HEAD and report.missing == [] and report.unexpected == []
    assert len(report.matched) == 349 - 6
    expected = torch.tensor([[0, 1, 2, 3, 4, 7, -1, 6]]) + torch.arange(3)[:, None] * 100.0
    for key in HEAD:
        rows = head_rows(model, key)
        kept = [0, 1, 2, 3, 4, 5, 7]
        assert torch.equal(rows[:, kept], expected[:, kept]), key
        zebra = fresh[key].reshape(3, 8, -1)[:, 6]
        assert torch.equal(model.state_dict()[key].reshape(3, 8, -1)[:, 6], zebra), key
    for key in report.matched:
        assert torch.equal(model.state_dict()[key], trained.state_dict[key]), key
    assert model.head.anchors[0, 0].tolist() == [1.875, 2.4375]
    assert model.names == {0: "CAT ", 1: "zebra", 2: "dog"} and model.pretrained


def test_equal_counts_in_another_order_follow_the_names(trained):
    model = build_model("yolov5n", names=["bus", "cat", "dog", "person"])
    report = transfer(model, trained)
    assert report.class_rows == {"bus": (3, 0), "cat": (2, 1), "dog": (1, 2), "person": (0, 3)}
    assert report.fresh_classes == [] and report.reshaped == HEAD
    assert head_rows(model, "model.24.m.1.bias")[2].tolist() == [200, 201, 202, 203, 204, 208, 207, 206, 205]


def test_the_same_classes_copy_everything_whole(trained):
    model = build_model("yolov5n", names=[name.upper() for name in SOURCE])
    report = transfer(model, trained)
    assert len(report.matched) == 349 and not (report.reshaped or report.missing or report.unexpected)
    assert all(torch.equal(tensor, trained.state_dict[key]) for key, tensor in model.state_dict().items())
    assert model.names[0] == "PERSON"


def test_a_model_without_names_takes_the_names_of_as_many_classes(trained):
    model = build_model("yolov5n", 4)
    assert len(transfer(model, trained).matched) == 349
    assert model.names == dict(enumerate(SOURCE))
    other = build_model("yolov5n", 5)
    report = transfer(other, trained)
    assert report.class_rows == {} and report.fresh_classes == [f"class{i}" for i in range(5)]
    assert other.names[0] == "class0" and report.reshaped == HEAD


def test_data_may_call_its_classes_what_a_model_without_names_does():
    names = {i: f"class{i}" for i in range(4)}
    model = build_model("yolov5n", names=SOURCE)
    assert fit_head(model, names).names == names


def test_reference_mode_leaves_the_head_random_when_the_count_differs(trained):
    torch.manual_seed(0)
    model = build_model("yolov5n", names=["cat"])
    fresh = copy.deepcopy(model.state_dict())
    report = transfer(model, trained, reference=True)
    assert report.missing == HEAD and report.unexpected == HEAD and len(report.matched) == 343
    assert report.class_rows == {} and report.fresh_classes == ["cat"]
    assert all(torch.equal(model.state_dict()[key], fresh[key]) for key in HEAD)
    assert torch.equal(model.head.anchors, trained.state_dict["model.24.anchors"])


def test_reference_mode_copies_equal_counts_by_position(trained):
    model = build_model("yolov5n", names=["a", "b", "c", "d"])
    report = transfer(model, trained, reference=True)
    assert len(report.matched) == 349 and report.class_rows["a"] == (0, 0)
    assert head_rows(model, "model.24.m.0.bias")[0].tolist() == list(range(9))


def test_a_repeated_name_takes_the_first_of_its_rows():
    torch.manual_seed(0)
    source = build_model("yolov5n", names=["cell", "Cell"])
    checkpoint = Checkpoint(source.state_dict(), source.names, "yolov5", "n", 2)
    report = transfer(build_model("yolov5n", names=["cell"]), checkpoint)
    assert report.class_rows == {"cell": (0, 0)}


def test_missing_and_unexpected_tensors_are_listed(trained):
    state = dict(trained.state_dict)
    del state["model.3.bn.weight"]
    state["model.99.extra"] = torch.zeros(1)
    report = transfer(build_model("yolov5n", names=SOURCE), Checkpoint(state, trained.names, "yolov5", "n", 4))
    assert report.missing == ["model.3.bn.weight"] and report.unexpected == ["model.99.extra"]
    assert "348 of 349" in str(report) and "model.3.bn.weight" in str(report) and "model.99.extra" in str(report)


def test_another_size_is_refused_and_nothing_is_touched(trained):
    model = build_model("yolov5s", names=SOURCE)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match=r"yolov5s.*yolov5n.*build_model\('yolov5n'\)"):
        transfer(model, trained)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert not model.pretrained


def test_the_report_reads_as_sentences(trained):
    text = str(transfer(build_model("yolov5n", names=["cat", "zebra"]), trained))
    assert text.splitlines() == [
        "343 of 349 tensors copied whole, 6 row by row",
        "1 classes carried over: cat",
        "1 classes start fresh: zebra",
    ]


def test_frozen_and_trainable_flags_and_the_checkpoint_stay(trained):
    before = copy.deepcopy(trained.state_dict)
    model = build_model("yolov5n", names=["cat"])
    model.model[0].conv.weight.requires_grad_(False)
    transfer(model, trained)
    assert not model.model[0].conv.weight.requires_grad and model.model[1].conv.weight.requires_grad
    with torch.no_grad():
        model.model[0].conv.weight.add_(1)
    assert all(torch.equal(tensor, before[key]) for key, tensor in trained.state_dict.items())


def test_predicted_boxes_do_not_change_with_the_classes():
    """The whole point: with other classes the network still boxes what it boxed before."""
    source = filled(build_model("yolov5n", 80)).eval()
    names = ["car" if i == 2 else f"thing {i}" for i in range(80)]
    checkpoint = Checkpoint(source.state_dict(), dict(enumerate(names)), "yolov5", "n", 80)
    model = build_model("yolov5n", names=["nothing", "car"]).eval()
    transfer(model, checkpoint)
    x = image(1, 64, 96)
    with torch.no_grad():
        before, after = source.decode(source(x)), model.decode(model(x))
    torch.testing.assert_close(after[..., :5], before[..., :5])
    torch.testing.assert_close(after[..., 6], before[..., 7])
