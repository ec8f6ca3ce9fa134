"""Our own files and official ones: what is read back, and the sentence for everything that is no checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import filled, image, load_fixture
from official_format import globals_of, rewrite, write_official, write_ultralytics
from torch import nn

from yolo_ft.api import YOLO
from yolo_ft.core.errors import UserError
from yolo_ft.finetune.checkpoints import load_checkpoint, load_training_state, model_from_checkpoint, save_checkpoint
from yolo_ft.models import build_model
from yolo_ft.models.yolo26 import YOLO26

NAMES = ["RBC", "WBC", "Platelets"]


@pytest.fixture(scope="module")
def nano():
    torch.manual_seed(0)
    return build_model("yolov5n", names=NAMES).eval()


@pytest.fixture(scope="module")
def parity():
    return filled(build_model("yolov5n", 80)).eval()


def assert_same(state: dict, expected: dict, half: bool = False) -> None:
    assert list(state) == list(expected)
    for key, tensor in expected.items():
        floating = tensor.is_floating_point()
        assert state[key].dtype == (torch.float32 if floating else torch.int64), key
        assert torch.equal(state[key], tensor.half().float() if half and floating else tensor), key


@pytest.mark.parametrize("size", "nsmlx")
@pytest.mark.parametrize("family", ["yolov5", "yolo26"])
def test_our_own_file_of_every_size_comes_back(tmp_path, family, size):
    with torch.device("meta"):  # random values would take most of the time
        model = build_model(family + size, names=NAMES)
    model.to_empty(device="cpu")
    for i, tensor in enumerate(model.state_dict().values()):
        tensor.fill_(i / 999 if tensor.is_floating_point() else i)
    path = save_checkpoint(tmp_path / "own.pt", model, {"epoch": 3}, half=size in "lx")
    checkpoint = load_checkpoint(path)
    assert (checkpoint.family, checkpoint.size, checkpoint.num_classes) == (family, size, 3)
    assert checkpoint.names == {0: "RBC", 1: "WBC", 2: "Platelets"} and checkpoint.metadata == {"epoch": 3}
    assert_same(checkpoint.state_dict, model.state_dict(), half=size in "lx")
    assert [path.name for path in tmp_path.iterdir()] == ["own.pt"]


def test_our_own_file_is_plain_and_reproducible(tmp_path, nano):
    first = save_checkpoint(tmp_path / "a.pt", nano, {"map50": np.float64(0.5), "data": Path("x")}, half=True)
    second = save_checkpoint(tmp_path / "deep" / "b.pt", nano, {"map50": 0.5, "data": "x"}, half=True)
    assert first.read_bytes() == second.read_bytes()
    content = torch.load(first, weights_only=True)
    assert list(content) == ["format", "version", "family", "size", "num_classes", "names", "state_dict", "metadata"]
    assert (content["format"], content["version"]) == ("yolo_ft", 1)
    assert content["state_dict"]["model.0.conv.weight"].dtype == torch.float16
    assert content["state_dict"]["model.0.bn.num_batches_tracked"].dtype == torch.int64


def test_a_model_from_a_checkpoint_gives_the_same_outputs(tmp_path, nano):
    copy = model_from_checkpoint(load_checkpoint(save_checkpoint(tmp_path / "own.pt", nano)))
    x = image(1, 64, 96)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(copy(x), nano(x), strict=True))
    assert copy.names == nano.names and copy.pretrained and not copy.training


def test_half_precision_that_overflows_is_refused_and_the_old_file_stays(tmp_path):
    model = build_model("yolov5n", 1)
    path = save_checkpoint(tmp_path / "own.pt", model)
    before = path.read_bytes()
    model.model[0].bn.running_var[0] = 1e6
    with pytest.raises(UserError, match=r"model\.0\.bn\.running_var.*half=False"):
        save_checkpoint(path, model, half=True)
    with pytest.raises(TypeError, match="no plain value"):
        save_checkpoint(path, model, {"what": object()})
    assert path.read_bytes() == before


def test_a_training_state_comes_back_bit_by_bit_and_readers_prefer_its_average(tmp_path, nano):
    average = {key: tensor + 1 for key, tensor in nano.state_dict().items()}
    training = {
        "ema": average,
        "optimizer": {"0": {"step": torch.tensor(3.0)}},
        "rng": torch.get_rng_state(),
        "steps": 7,
    }
    path = save_checkpoint(tmp_path / "last.pt", nano, training=training)
    state = load_training_state(path)
    assert_same(state["weights"], nano.state_dict())
    assert_same(state["ema"], average)
    assert state["steps"] == 7 and torch.equal(state["rng"], training["rng"])
    assert_same(load_checkpoint(path).state_dict, average)
    with pytest.raises(UserError, match="keeps no training state"):
        load_training_state(save_checkpoint(tmp_path / "best.pt", nano))
    with pytest.raises(UserError, match="start it anew"):
        load_training_state(tmp_path / "none.pt")


@pytest.mark.parametrize("version", ["v6", "v7"])
@pytest.mark.parametrize("size", "nm")
def test_an_official_file_is_read_without_the_reference_package(tmp_path, version, size):
    torch.manual_seed(1)
    model = build_model(f"yolov5{size}", names=NAMES)
    path = write_official(tmp_path / "x.pt", model, version)
    checkpoint = load_checkpoint(path)
    assert (checkpoint.family, checkpoint.size, checkpoint.num_classes) == ("yolov5", size, 3)
    assert checkpoint.names == dict(enumerate(NAMES)) and checkpoint.metadata["epoch"] == -1
    assert_same(checkpoint.state_dict, model.state_dict(), half=True)


def test_the_parity_model_survives_an_official_file(tmp_path, parity):
    def in_full_precision(content: dict) -> None:
        content["model"].float()
        for key, tensor in content["model"].state_dict().items():
            tensor.copy_(parity.state_dict()[key])

    checkpoint = load_checkpoint(write_official(tmp_path / "x.pt", parity, change=in_full_precision))
    assert_same(checkpoint.state_dict, parity.state_dict())
    assert [[key, list(tensor.shape)] for key, tensor in checkpoint.state_dict.items()] == load_fixture(
        "yolov5n_params"
    )
    with torch.no_grad():
        raw = model_from_checkpoint(checkpoint)(image(1, 64, 64))
        assert all(torch.equal(a, b) for a, b in zip(raw, parity(image(1, 64, 64)), strict=True))


def test_the_written_files_name_what_official_files_name(tmp_path, nano):
    found = load_fixture("checkpoint_globals")

    def names(key: str) -> set[str]:
        return {name.replace("numpy._core", "numpy.core") for name in found[key]["globals"]}

    def written(**how) -> set[str]:
        path = write_official(tmp_path / "x.pt", nano, **how)
        text = {name.replace("numpy._core", "numpy.core") for name in globals_of(path)}
        return {name.replace("pathlib._local", "pathlib") for name in text}

    assert written() == names("yolov5_HEAD_stripped")
    assert written(ema=nano) == names("yolov5_HEAD_training_checkpoint")


@pytest.mark.parametrize("numpy_name", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_a_training_file_gives_its_average(tmp_path, nano, numpy_name):
    average = build_model("yolov5n", names=NAMES)
    path = write_official(tmp_path / "last.pt", nano, ema=average, windows=True)
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        rewrite(path, lambda data, name=name: data.replace(b"c" + name, b"c" + numpy_name))
    checkpoint = load_checkpoint(path)
    assert_same(checkpoint.state_dict, average.state_dict(), half=True)
    assert checkpoint.metadata["source"].endswith("ema") and checkpoint.metadata["epoch"] == 7


@pytest.mark.parametrize("size", "nm")
def test_an_ultralytics_file_is_read_without_the_reference_package(tmp_path, size):
    torch.manual_seed(1)
    model = build_model(f"yolo26{size}", names=NAMES)
    checkpoint = load_checkpoint(write_ultralytics(tmp_path / "x.pt", model))
    assert (checkpoint.family, checkpoint.size, checkpoint.num_classes) == ("yolo26", size, 3)
    assert checkpoint.names == dict(enumerate(NAMES)) and checkpoint.metadata["epoch"] == -1
    assert_same(checkpoint.state_dict, model.state_dict(), half=True)


def test_the_yolo26_parity_model_survives_an_ultralytics_file(tmp_path):
    parity = filled(build_model("yolo26n"), "yolo26n").eval()

    def in_full_precision(content: dict) -> None:
        content["model"].float()
        for key, tensor in content["model"].state_dict().items():
            tensor.copy_(parity.state_dict()[key])

    checkpoint = load_checkpoint(write_ultralytics(tmp_path / "x.pt", parity, change=in_full_precision))
    shapes = [[key, list(tensor.shape)] for key, tensor in checkpoint.state_dict.items()]
    assert shapes == load_fixture("yolo26n_params")
    with torch.no_grad():
        raw = model_from_checkpoint(checkpoint)(image(1, 64, 64))
        assert all(torch.equal(a, b) for a, b in zip(raw, parity(image(1, 64, 64)), strict=True))


def test_an_ultralytics_training_file_gives_its_average(tmp_path):
    torch.manual_seed(2)
    average = build_model("yolo26n", names=NAMES)
    checkpoint = load_checkpoint(write_ultralytics(tmp_path / "last.pt", average, ema=average))
    assert_same(checkpoint.state_dict, average.state_dict(), half=True)
    assert checkpoint.metadata["source"].endswith("ema") and checkpoint.metadata["epoch"] == 7


def test_a_fine_tuned_file_keeps_the_width_of_its_source(tmp_path):
    """Ultralytics keeps the class branches as wide as the 80-class source's when it fine-tunes on three classes."""
    narrow = build_model("yolo26n", names=NAMES)
    wide = YOLO26("n", narrow.names, class_width=80)
    assert sum(p.numel() for p in wide.parameters()) == 2_534_858
    model = model_from_checkpoint(load_checkpoint(write_ultralytics(tmp_path / "x.pt", wide)))
    assert model.head.class_width == 80 and narrow.head.class_width == 64
    assert_same(model.state_dict(), wide.state_dict(), half=True)
    again = model_from_checkpoint(load_checkpoint(save_checkpoint(tmp_path / "own.pt", model)))
    assert_same(again.state_dict(), model.state_dict())


def test_the_written_ultralytics_files_name_what_official_files_name(tmp_path):
    found, model = load_fixture("checkpoint_globals"), build_model("yolo26n", names=NAMES)
    stripped = globals_of(write_ultralytics(tmp_path / "a.pt", model))
    training = globals_of(write_ultralytics(tmp_path / "b.pt", model, ema=model))
    assert stripped == set(found["ultralytics_8.4.190_yolo26_stripped"]["globals"])
    assert training == set(found["ultralytics_8.4.190_yolo26_training_checkpoint"]["globals"])


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"nn.tasks\nDetectionModel\n", b"nn.tasks\nSegmentationModel\n", "segmentation model"),
        (b"nn.tasks\nDetectionModel\n", b"nn.tasks\nOBBModel\n", "rotated boxes"),
        (b"modules.block\nC2PSA\n", b"modules.block\nDFL\n", "YOLOv8, YOLO11"),
        (b"ultralytics.nn.tasks\nDetectionModel\n", b"os\nsystem\n", "nothing in it was run"),
    ],
)
def test_other_ultralytics_models_are_refused(tmp_path, old, new, sentence):
    path = write_ultralytics(tmp_path / "x.pt", build_model("yolo26n", 1))
    with pytest.raises(UserError, match=sentence):
        load_checkpoint(rewrite(path, lambda data: data.replace(old, new)))


def test_names_that_do_not_fit_are_replaced_with_a_warning(tmp_path, nano):
    path = write_official(tmp_path / "x.pt", nano, change=lambda content: setattr(content["model"], "names", ["one"]))
    with pytest.warns(UserWarning, match="class0"):
        assert load_checkpoint(path).names == {0: "class0", 1: "class1", 2: "class2"}


def _claimed(*shape: object):
    """A head that claims this shape; the file holds a single number."""

    def change(content: dict) -> None:
        head = content["model"]._modules["model"][23]._modules["cv3"][0][2]
        head._parameters["weight"] = nn.Parameter(torch.zeros(1).expand(*shape), requires_grad=False)

    return change


@pytest.mark.parametrize("shape", [(10**9, 64, 1, 1), (10**9, 0, 1, 1), (3, 10**9, 1, 1), (1,) * 5])
def test_a_head_that_is_not_in_the_file_is_refused_before_anything_is_built(tmp_path, shape):
    path = write_ultralytics(tmp_path / "x.pt", build_model("yolo26n", 3), change=_claimed(*shape))
    with pytest.raises(UserError, match="describes tensors that cannot be in it"):
        load_checkpoint(path)


def _p6(content: dict) -> None:
    content["model"]._modules["model"]._modules["33"] = nn.Conv2d(1, 1, 1)


def _fused(content: dict) -> None:
    conv = content["model"]._modules["model"][0]._modules["conv"]
    conv._parameters["bias"] = nn.Parameter(torch.zeros(16), requires_grad=False)


def _wider(content: dict) -> None:
    content["model"]._modules["model"][3]._modules["conv"]._parameters["weight"] = nn.Parameter(
        torch.zeros(9, 32, 3, 3)
    )


def _anchors(content: dict) -> None:
    content["model"]._modules["model"][24]._modules["m"][0]._parameters["bias"] = nn.Parameter(torch.zeros(32))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_p6, "P6 model"),
        (_fused, "folded into the convolutions"),
        (_wider, "does not have the tensors of any size of YOLOv5 or YOLO26"),
        (_anchors, "does not have the tensors of any size"),
        (lambda content: content.update(model={}), "holds no model"),
        (lambda content: content.clear(), "holds no model"),
    ],
)
def test_other_models_are_refused(tmp_path, nano, change, sentence):
    with pytest.raises(UserError, match=sentence):
        load_checkpoint(write_official(tmp_path / "x.pt", nano, change=change))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"models.yolo\nDetect\n", b"models.yolo\nSegment\n", "segmentation model"),
        (b"models.yolo\nDetectionModel\n", b"models.yolo\nSegmentationModel\n", "segmentation model"),
        (b"models.yolo\nDetectionModel\n", b"models.yolo\nClassificationModel\n", "classification model"),
        (b"models.common\nSPPF\n", b"models.common\nClassify\n", "classification model"),
        (b"models.common\nConv\n", b"models.common\nFocus\n", "before release 6.0"),
        (b"models.common\nSPPF\n", b"ultralytics.nn.modules.block\nDFL\n", "ultralytics package.*yolov5nu"),
        (b"models.yolo\nDetectionModel\n", b"ultralytics.nn.tasks\nPoseModel\n", "pose model"),
    ],
)
def test_other_families_are_refused_by_what_their_pickle_names(tmp_path, nano, old, new, sentence):
    path = rewrite(write_official(tmp_path / "x.pt", nano), lambda data: data.replace(old, new))
    with pytest.raises(UserError, match=sentence):
        load_checkpoint(path)


def test_old_pytorch_files_and_foreign_dictionaries_are_refused(tmp_path, nano):
    torch.save({"model": nano.state_dict()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="before version 1.6"):
        load_checkpoint(tmp_path / "old.pt")
    torch.save(nano.state_dict(), tmp_path / "state.pt")
    with pytest.raises(UserError, match="holds no model"):
        load_checkpoint(tmp_path / "state.pt")
    torch.save({"format": "yolo_ft", "version": 2}, tmp_path / "new.pt")
    with pytest.raises(UserError, match="update yolo_ft"):
        load_checkpoint(tmp_path / "new.pt")
    torch.save({"format": "yolo_ft", "version": 1, "state_dict": {"a": 3}}, tmp_path / "odd.pt")
    with pytest.raises(UserError, match="no state_dict of tensors"):
        load_checkpoint(tmp_path / "odd.pt")


def test_a_missing_file_says_what_could_be_meant(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint .*yolov8n.pt.*yolov5n\.pt, yolov5s\.pt"):
        load_checkpoint("yolov8n.pt")
    with pytest.raises(UserError, match="no checkpoint"):
        load_checkpoint(tmp_path / "yolov5n.pt")
    with pytest.raises(UserError, match=r"build_model\('yolov5n'\)"):
        load_checkpoint("yolov5n.yaml")
    with pytest.raises(UserError, match="no checkpoint"):
        load_checkpoint(tmp_path)


def test_a_local_file_wins_over_the_official_name(tmp_path, nano, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint("yolov5n.pt", nano, {"mine": True})
    assert load_checkpoint("yolov5n.pt").metadata == load_checkpoint("yolov5n").metadata == {"mine": True}


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = build_model("yolov5n", 3)
    with torch.no_grad():
        model.model[3].conv.weight[0, 0, 0, 0] = torch.nan
    path = save_checkpoint(tmp_path / "diverged.pt", model)
    with pytest.raises(UserError, match=r"diverged.pt: model.3.conv.weight holds numbers that are not finite"):
        load_checkpoint(path)


SIZES = [({"imgsz": 512}, 512), ({}, 640), ({"imgsz": 500}, 640), ({"imgsz": "x"}, 640)]


@pytest.mark.parametrize(("named", "size"), SIZES)
def test_official_weights_are_asked_at_the_size_that_they_were_trained_at(tmp_path, nano, named, size):
    model = build_model("yolo26n", 2)
    file = write_ultralytics(tmp_path / "x.pt", model, change=lambda content: content["train_args"].update(named))
    assert YOLO(file).imgsz == size
    write_official(tmp_path / "y.pt", nano)
    assert YOLO(tmp_path / "y.pt").imgsz == 640
