"""What each switch of the computation may change, and how the machine's precision is found and kept."""

import copy
import json

import pytest
import torch
from training_set import tiny_set, train  # noqa: F401  (tiny_set is a fixture)

from yolo_ft.api import YOLO
from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.finetune import compute as compute_module
from yolo_ft.finetune.compute import Compute, cpu_precision, resolve_compute
from yolo_ft.finetune.evaluation import evaluate
from yolo_ft.finetune.freezing import freeze
from yolo_ft.finetune.optimizers import build_optimizer
from yolo_ft.models import build_model
from yolo_ft.models.layers import Conv, folded_batchnorm

FP32 = Compute("cpu", "fp32", False, 1)


@pytest.fixture
def model():
    """A network whose BatchNorms do something: random statistics, scales and shifts."""
    torch.manual_seed(0)
    model = YOLO("yolov5n.yaml").model
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in ((module.running_var, 0.5, 2), (module.weight.data, 0.5, 1.5)):
                tensor.uniform_(low, high)
            module.running_mean.uniform_(-0.2, 0.2)
            module.bias.data.uniform_(-0.2, 0.2)
    model.pretrained = True  # what is frozen here is not the point
    return model.eval()


def outputs(model, compute):
    images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    model = compute.place(copy.deepcopy(model))
    with torch.inference_mode(), compute.folded(model), compute.autocast():
        return torch.cat([x.float().flatten() for x in model(compute.images(images))])


def deviation(changed, reference):
    return ((changed - reference).abs().max() / reference.abs().max()).item()


@pytest.mark.parametrize(
    ("switch", "low", "high"),
    [
        ({"channels_last": True}, 0, 1e-5),
        ({"fold_batchnorm": True}, 0, 1e-5),
        ({"channels_last": True, "fold_batchnorm": True}, 0, 1e-5),
        ({"precision": "bf16"}, 1e-5, 5e-2),
        ({"precision": "bf16", "channels_last": True, "fold_batchnorm": True}, 1e-5, 5e-2),
    ],
)
def test_a_switch_moves_the_outputs_no_further_than_stated(model, switch, low, high):
    changed = Compute(**{**FP32.to_dict(), **switch})
    assert low <= deviation(outputs(model, changed), outputs(model, FP32)) <= high


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_the_fused_optimiser_steps_as_the_unfused_one(model, name):
    config, weights = TrainConfig(optimizer=name, weight_decay=0.05), []
    for fused in (False, True):
        own = copy.deepcopy(model)
        optimizer = build_optimizer(own, config, fused)
        gradients = torch.Generator().manual_seed(0)
        for _ in range(20):
            for parameter in own.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=gradients)
            optimizer.step()
        weights.append(torch.cat([p.detach().flatten() for p in own.parameters()]))
    assert deviation(*weights) <= 1e-6
    assert deviation(weights[0], torch.cat([p.detach().flatten() for p in model.parameters()])) > 1e-3


def test_fold_by_hand():
    conv = Conv(1, 1, 1).eval()
    with torch.no_grad():
        conv.conv.weight.fill_(3.0)
        conv.bn.weight.fill_(2.0)
        conv.bn.bias.fill_(0.5)
        conv.bn.running_mean.fill_(1.0)
        conv.bn.running_var.fill_(4.0 - conv.bn.eps)
    conv.fold()
    weight, bias = conv.folded
    assert weight.item() == pytest.approx(3.0)  # 3 * 2 / 2
    assert bias.item() == pytest.approx(-0.5)  # 0.5 - 1 * 2 / 2
    x = torch.tensor([[[[2.0]]]])
    assert conv(x).item() == pytest.approx(torch.nn.functional.silu(torch.tensor(5.5)).item())


def test_only_frozen_layers_with_fixed_statistics_are_folded(model):
    compute = Compute("cpu", "fp32", True, 1, fold_batchnorm=True)
    folded = lambda: {name for name, m in model.named_modules() if isinstance(m, Conv) and m.folded}  # noqa: E731
    compute.fold_frozen(model)
    assert folded() == set()
    freeze(model, 2)
    compute.fold_frozen(model)
    assert folded() == {"model.0", "model.1"}
    FP32.fold_frozen(model)
    assert folded() == set()
    freeze(model, None)
    freeze(model, 2, bn="running")
    compute.fold_frozen(model)
    assert folded() == set()


def test_folding_ends_with_its_block_also_after_an_error(model):
    with pytest.raises(RuntimeError), folded_batchnorm(model):
        assert all(m.folded for m in model.modules() if isinstance(m, Conv))
        raise RuntimeError
    assert not any(m.folded for m in model.modules() if isinstance(m, Conv))


def test_an_evaluation_leaves_the_model_as_it_was(tiny_set):  # noqa: F811
    model = build_model("yolov5n", names=["bright", "dark"]).train()
    evaluate(model, str(tiny_set), imgsz=64, compute=Compute("cpu", "fp32", True, 1, fold_batchnorm=True))
    assert not any(m.folded for m in model.modules() if isinstance(m, Conv))
    assert model.training and not torch.is_inference_mode_enabled()


def test_a_run_ends_unfolded_also_when_it_is_interrupted(tiny_set, tmp_path):  # noqa: F811
    seen = []

    def interrupt(event, info):
        seen.append(sum(bool(m.folded) for m in model.model.modules() if isinstance(m, Conv)))
        if event == "batch":
            raise KeyboardInterrupt

    model = YOLO("yolov5n.yaml")
    with pytest.raises(KeyboardInterrupt):
        train(tiny_set, tmp_path, model, [interrupt], freeze=2, precision="bf16")
    assert seen == [2, 2]
    assert not any(m.folded for m in model.model.modules() if isinstance(m, Conv))


def test_fp32_that_was_asked_for_is_the_reference(monkeypatch):
    monkeypatch.setattr(compute_module, "cpu_precision", lambda: "fp32")
    asked = resolve_compute(TrainConfig(device="cpu", precision="fp32"))
    assert (asked.channels_last, asked.fold_batchnorm, asked.fused_optimizer) == (False, False, False)
    found = resolve_compute(TrainConfig(device="cpu"))
    assert found.precision == "fp32"
    assert (found.channels_last, found.fold_batchnorm, found.fused_optimizer) == (True, True, True)
    with pytest.raises(UserError, match="fp16"):
        resolve_compute(TrainConfig(device="cpu", precision="fp16"))


def test_a_run_of_before_resumes_without_the_switches_it_did_not_know():
    former = {"device": "cpu", "precision": "bf16", "channels_last": True, "threads": 2, "phases": "10:25"}
    assert Compute.from_dict(former) == Compute("cpu", "bf16", True, 2, fold_batchnorm=False, fused_optimizer=False)
    assert Compute.from_dict(FP32.to_dict()) == FP32


@pytest.fixture
def stopwatch(tmp_path, monkeypatch):
    """A cache folder of its own, and measured seconds as the test wants them."""
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "cache"))
    compute_module._measured.cache_clear()
    seconds, asked = {"fp32": 2.0, "bf16": 1.0}, []

    def measured():
        asked.append(1)
        return seconds

    monkeypatch.setattr(compute_module, "_seconds", measured)
    yield seconds, asked
    compute_module._measured.cache_clear()


def test_the_precision_is_measured_once_and_kept(stopwatch, tmp_path):
    seconds, asked = stopwatch
    assert cpu_precision() == "bf16"
    seconds["bf16"] = 3.0
    compute_module._measured.cache_clear()  # as another process
    assert cpu_precision() == "bf16"
    assert asked == [1]
    (kept,) = json.loads((tmp_path / "cache" / "precision.json").read_text(encoding="utf-8")).values()
    assert kept == {"fp32": 2000.0, "bf16": 1000.0}


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_slower_or_equal_bf16_is_not_chosen(stopwatch, tmp_path, content):
    if content is not None:
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "precision.json").write_text(content, encoding="utf-8")
    seconds, _ = stopwatch
    seconds["bf16"] = 2.0
    assert cpu_precision() == "fp32"


def test_a_cache_folder_that_cannot_be_written_stops_nothing(stopwatch, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "file"))
    assert cpu_precision() == "bf16"


def test_the_measurement_measures():
    state = torch.get_rng_state()
    seconds = compute_module._seconds(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert sorted(seconds) == ["bf16", "fp32"] and all(0 < value < 60 for value in seconds.values())
