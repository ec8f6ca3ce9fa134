"""The tables of layers and parameters, against the published counts and shapes."""

from __future__ import annotations

import pytest
import torch
from helpers import load_fixture

from yolo_ft.finetune.accounting import measure
from yolo_ft.finetune.freezing import freeze
from yolo_ft.finetune.inspection import layer_table, parameter_table
from yolo_ft.models import build_model


@pytest.mark.parametrize("size", "nsm")
def test_layer_table_has_the_published_numbers(size):
    expected = load_fixture("yolov5_layers")[size]
    table = layer_table(build_model(f"yolov5{size}", 80), 64)
    assert list(table["index"]) == list(range(25))
    assert list(table.parameters) == expected["layer_params_nc80"]
    shapes = [list(shape) for shape in table.output_shape[:24]]
    assert shapes == expected["layer_out_shape_at_64"][:24]
    assert table.output_shape[24] == [(1, 3, n, n, 85) for n in (8, 4, 2)]


def test_layer_table_columns_and_totals():
    model = build_model("yolov5n", 80)
    table = layer_table(model)
    assert list(table.columns) == [
        "index", "name", "module", "stage", "output_shape", "parameters", "flops", "activation_bytes",
    ]  # fmt: skip
    assert table.flops.sum() == 2 * 2_234_060_800
    assert table.activation_bytes.sum() == measure(model, 640).total_kept
    assert list(table.stage) == ["backbone"] * 10 + ["neck"] * 14 + ["head"]
    assert list(table.module[[0, 2, 9, 11, 12, 24]]) == ["Conv", "C3", "SPPF", "Upsample", "Concat", "Detect"]
    assert table.name[0] == "stem, P1/2"
    # of what the concatenation and the layer that reads it keep, the joined map belongs to the concatenation
    assert table.activation_bytes[12] == 4 * 256 * 40 * 40


def test_layer_table_does_not_depend_on_what_is_frozen():
    model = build_model("yolov5n", 3)
    model.pretrained = True
    before = layer_table(model, 64)
    freeze(model, 24)
    assert layer_table(model, 64).equals(before)


@pytest.mark.parametrize("name", ["yolov5n", "yolov5m"])
def test_parameter_table_lists_the_published_names(name):
    table = parameter_table(build_model(name, 80))
    buffers = ("running_mean", "running_var", "num_batches_tracked", "anchors")
    expected = [(key, tuple(shape)) for key, shape in load_fixture(f"{name}_params") if not key.endswith(buffers)]
    assert list(zip(table.name, table["shape"], strict=True)) == expected
    assert table["count"].sum() == load_fixture("yolov5_layers")[name[-1]]["params"]["nc80"]


def test_parameter_table_columns():
    model = build_model("yolov5n", 3)
    model.model[10].conv.weight.requires_grad = False
    table = parameter_table(model).set_index("name")
    assert list(table.columns) == ["shape", "count", "stage", "layer", "trainable"]
    row = table.loc["model.10.conv.weight"]
    assert (row["shape"], row["count"], row["stage"], row["layer"]) == ((128, 256, 1, 1), 32768, "neck", 10)
    assert not row["trainable"] and table.trainable.sum() == len(table) - 1
    assert table.loc["model.24.m.0.bias", "stage"] == "head"


def test_inspection_changes_nothing():
    model = build_model("yolov5n", 3)
    model.model[4].eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    layer_table(model, 64)
    parameter_table(model)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
