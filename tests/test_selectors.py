"""What every spelling of a freeze means: layers, parameters, canonical text, errors that name the mend."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.freezing import FreezePlan
from yolo_ft.finetune.selectors import layer_index, layer_parameters
from yolo_ft.models import build_model


@pytest.fixture(scope="module")
def network():
    """A YOLOv5n that tests only read."""
    return build_model("yolov5n", 3)


def layers(*parts):
    return tuple(i for part in parts for i in (part if isinstance(part, range) else [part]))


SPELLINGS = [
    # (what is written, layers meant, canonical text, frozen prefix)
    (None, (), "none", 0),
    (0, (), "none", 0),
    ("0", (), "none", 0),
    ("none", (), "none", 0),
    ("None", (), "none", 0),
    ([], (), "none", 0),
    ("[]", (), "none", 0),
    (1, (0,), "1", 1),
    (10, layers(range(10)), "10", 10),
    (np.int64(10), layers(range(10)), "10", 10),
    ("10", layers(range(10)), "10", 10),
    (" 10 ", layers(range(10)), "10", 10),
    (24, layers(range(24)), "24", 24),
    ([10], (10,), "[10]", 0),
    ("[10]", (10,), "[10]", 0),
    (["10"], (10,), "[10]", 0),
    ([0], (0,), "[0]", 1),
    ([0, 1, 5], (0, 1, 5), "0-1,5", 2),
    ([5, 1, 0, 1], (0, 1, 5), "0-1,5", 2),
    ((0, 1, 5), (0, 1, 5), "0-1,5", 2),
    ("0,1,5", (0, 1, 5), "0-1,5", 2),
    ("[0, 1, 5]", (0, 1, 5), "0-1,5", 2),
    (["0", "1", "5"], (0, 1, 5), "0-1,5", 2),
    (range(10), layers(range(10)), "0-9", 10),
    ("0-9", layers(range(10)), "0-9", 10),
    ("0-9,13", layers(range(10), 13), "0-9,13", 10),
    (["0-9", 13], layers(range(10), 13), "0-9,13", 10),
    ("backbone", layers(range(10)), "backbone", 10),
    ("Backbone", layers(range(10)), "backbone", 10),
    ("neck", layers(range(10, 24)), "neck", 0),
    ("head", (24,), "head", 0),
    ("all-but-head", layers(range(24)), "all-but-head", 24),
    (["backbone", "neck"], layers(range(24)), "backbone,neck", 24),
    (["backbone", 13, None], layers(range(10), 13), "13,backbone", 10),
    ("model.0", (0,), "model.0", 1),
    ("model.0.", (0,), "model.0", 1),
    ("model.[0-3]", (0, 1, 2, 3), "model.[0-3]", 4),
    ("model.0,model.1", (0, 1), "model.0,model.1", 2),
    ("model.23.cv2", (), "model.23.cv2", 0),
    (["model.23.cv2", 3], (3,), "3,model.23.cv2", 0),
    # 11 and 12 have no parameters: chosen they count, between frozen layers they count, else they do not
    (12, layers(range(12)), "12", 12),
    ("0-10,13", layers(range(14)), "0-10,13", 14),
]


@pytest.mark.parametrize(("spec", "expected", "text", "prefix"), SPELLINGS, ids=lambda value: repr(value)[:24])
def test_every_spelling_means_its_layers(network, spec, expected, text, prefix):
    plan = FreezePlan.parse(network, spec)
    assert plan.layers == expected
    assert plan.spec == text
    assert plan.prefix == prefix
    by_layer = layer_parameters(network)
    assert plan.parameters >= frozenset().union(*(by_layer[i] for i in expected))
    assert FreezePlan.parse(network, plan.spec) == plan  # the canonical text says the same


def test_patterns_match_whole_components(network):
    one = FreezePlan.parse(network, "model.1")
    assert one.parameters == {"model.1.conv.weight", "model.1.bn.weight", "model.1.bn.bias"}
    # the substring test that YOLO users know would have taken 49 tensors of layers 1 and 10-19
    assert sum("model.1" in name for name, _ in network.named_parameters()) > 40
    assert {layer_index(name) for name in FreezePlan.parse(network, "model.2").parameters} == {2}
    cv2 = FreezePlan.parse(network, "model.23.cv2").parameters
    assert cv2 == {f"model.23.cv2.{leaf}" for leaf in ("conv.weight", "bn.weight", "bn.bias")}


def test_star_spans_components_and_stays_inside_words(network):
    bn = FreezePlan.parse(network, "*.bn.*").parameters
    assert len(bn) == 2 * 57 and all(".bn." in name for name in bn)
    assert FreezePlan.parse(network, "*.bn").parameters == bn
    assert FreezePlan.parse(network, "model.*.cv1.conv").parameters == {
        name for name, _ in network.named_parameters() if name.endswith("cv1.conv.weight")
    }
    assert {layer_index(name) for name in FreezePlan.parse(network, "model.1?").parameters} == {10, 13, 14, 17, 18}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("bakcbone", "'backbone'"),
        ("23.cv2", "'model.23.cv2'"),
        ("model.23.cvv2", "'model.23.cv2'"),
        ("*.bnn.*", "'*.bn.*'"),
        ("model.1.conv.wieght", "'model.1.conv.weight'"),
        ("model.11", "no parameters"),
        ([11, 12], "no parameters"),
        (25, "every parameter"),
        ("*", "every parameter"),
        (["all-but-head", "head"], "every parameter"),
        (26, "25 layers"),
        (-1, "25 layers"),
        ("-1", "25 layers"),
        ([-1], "numbered 0 to 24"),
        ([25], "numbered 0 to 24"),
        ("0-30", "numbered 0 to 24"),
        ("9-0", "upwards"),
        (True, "True"),
        ([False], "False"),
        (10.0, "10.0"),
        ([1.5], "1.5"),
        ({"backbone": 1}, "backbone"),
        ("", "empty"),
        ("10,", "empty"),
    ],
)
def test_mistakes_are_errors_that_name_the_mend(network, spec, says):
    with pytest.raises(UserError) as error:
        FreezePlan.parse(network, spec)
    assert says in str(error.value)


def test_describe_says_which_layers(network):
    assert FreezePlan.parse(network, 10).describe(network) == "layers 0-9 (backbone: stem, P1/2 ... P5/32 pool)"
    assert FreezePlan.parse(network, None).describe(network) == "nothing frozen"
    text = FreezePlan.parse(network, [10, "model.24.m.0"]).describe(network)
    assert text.startswith("layer 10 (part of neck: N5 reduce); 2 parameter tensors (model.24.m.0.weight, ")


def test_union_is_the_union(network):
    ten, cv2, none = (FreezePlan.parse(network, spec) for spec in (10, "model.23.cv2", None))
    both = ten.union(cv2, network)
    assert both.parameters == ten.parameters | cv2.parameters
    assert both == FreezePlan.parse(network, both.spec) and both.prefix == 10 and not both.is_prefix
    assert ten.union(none, network) == none.union(ten, network) == ten
    assert ten.union(FreezePlan.parse(network, 5), network) == ten
    running = FreezePlan.parse(network, 5, "running")
    assert ten.union(running, network).batchnorm == "running"
    assert running.union(none, network).batchnorm == "running"
    with pytest.raises(UserError, match="every parameter"):
        FreezePlan.parse(network, 24).union(FreezePlan.parse(network, "head"), network)
