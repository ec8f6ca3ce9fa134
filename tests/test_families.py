"""Every network of every family has the published names, shapes and counts."""

import pytest
import torch
from helpers import load_fixture

from yolo_ft.models import build_model

NAMES = [f"{family}{size}" for family in ("yolov5", "yolo26") for size in "nsmlx"]


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_names_and_shapes(name):
    with torch.device("meta"):
        model = build_model(name)
    ours = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    assert ours == load_fixture(f"{name}_params")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nc", [80, 20, 3, 1])
def test_parameter_counts(name, nc):
    facts = load_fixture(f"{name[:-1]}_layers")[name[-1]]
    with torch.device("meta"):
        model = build_model(name, num_classes=nc)
    assert sum(p.numel() for p in model.parameters()) == facts["params"][f"nc{nc}"]
    if nc == 80:
        layers = list(model.model)
        assert [sum(p.numel() for p in layer.parameters()) for layer in layers] == facts["layer_params_nc80"]
        if "layer_named_parameter_entries" in facts:
            assert [len(list(layer.parameters())) for layer in layers] == facts["layer_named_parameter_entries"]
