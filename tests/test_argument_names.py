"""Ultralytics' calls work with only the import changed; what has no counterpart is named with what comes nearest."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from official_format import write_ultralytics
from PIL import Image

from yolo_ft import YOLO, UserError, api
from yolo_ft.commands import _assignments
from yolo_ft.core.config import TrainConfig
from yolo_ft.core.targets import Detections
from yolo_ft.finetune.argument_names import ALWAYS, ASKING, refuse_others, translate
from yolo_ft.finetune.downloads import RELEASES
from yolo_ft.finetune.metrics import Metrics
from yolo_ft.models import build_model

# every argument of Ultralytics 8.4.190's configuration with its default, as `vars(get_cfg())` told it
DEFAULTS = {
    **{"task": "detect", "mode": "train", "model": None, "epochs": 100, "time": None, "patience": 100, "batch": 16},
    **{"imgsz": 640, "save": True, "save_period": -1, "cache": False, "device": None, "workers": 8, "project": None},
    **{"name": None, "exist_ok": False, "pretrained": True, "cls_remap": True, "optimizer": "auto", "verbose": True},
    **{"seed": 0, "deterministic": True, "single_cls": False, "rect": False, "cos_lr": False, "close_mosaic": 10},
    **{"resume": False, "amp": True, "fraction": 1.0, "profile": False, "freeze": None, "multi_scale": 0.0},
    **{"compile": False, "channels_last": None, "overlap_mask": True, "mask_ratio": 4, "dropout": 0.0, "val": True},
    **{"split": "val", "save_json": False, "conf": None, "iou": 0.7, "max_det": 300, "quantize": None, "dnn": False},
    **{"plots": True, "nms": None, "source": None, "vid_stride": 1, "stream_buffer": False, "visualize": False},
    **{"augment": False, "agnostic_nms": False, "classes": None, "retina_masks": False, "embed": None, "show": False},
    **{"save_frames": False, "save_txt": False, "save_conf": False, "save_crop": False, "show_labels": True},
    **{"show_conf": True, "show_boxes": True, "line_width": None, "format": "torchscript", "optimize": False},
    **{"dynamic": False, "simplify": True, "opset": None, "workspace": None, "lr0": 0.01, "lrf": 0.01},
    **{"momentum": 0.937, "weight_decay": 0.0005, "warmup_epochs": 3.0, "warmup_momentum": 0.8},
    **{"warmup_bias_lr": 0.1, "distill_model": None, "dis": 6.0, "box": 7.5, "cls": 0.5, "cls_pw": 0.0, "dfl": 1.5},
    **{"pose": 12.0, "kobj": 1.0, "rle": 1.0, "angle": 1.0, "dlog": 1.0, "dgrad": 0.5, "dlam": 1.0, "nbs": 64},
    **{"hsv_h": 0.015, "hsv_s": 0.7, "hsv_v": 0.4, "degrees": 0.0, "translate": 0.1, "scale": 0.5, "shear": 0.0},
    **{"perspective": 0.0, "flipud": 0.0, "fliplr": 0.5, "bgr": 0.0, "mosaic": 1.0, "mixup": 0.0, "cutmix": 0.0},
    **{"copy_paste": 0.0, "copy_paste_mode": "flip", "auto_augment": "randaugment", "erasing": 0.4, "cfg": None},
    **{"tracker": "tracktrack.yaml"},
}


def test_all_default_arguments_are_settings():
    config = TrainConfig.from_dict(translate(DEFAULTS))
    assert (config.nominal_batch, config.precision, config.cache, config.device) == (64, "auto", "none", "auto")
    usual = TrainConfig()
    assert (config.cls_pw, config.name, config.project) == (usual.cls_pw, usual.name, usual.project)
    assert (config.optimizer, config.box, config.momentum, config.close_mosaic) == ("auto", 7.5, 0.937, 10)


def test_other_spellings():
    assert translate({"device": 0, "amp": False, "cache": True}) == {"device": "0", "precision": "fp32", "cache": "ram"}
    assert translate({"cache": "ram", "views": 3}) == {"cache": "ram", "views": 3}
    assert translate({"cache": None, "mosaic": True, "fliplr": 0.2, "int8": False, "keras": False, "dfl": 1.5}) == {
        **{"cache": "none", "mosaic": 1.0, "fliplr": 0.2, "dfl": 1.5}
    }


@pytest.mark.parametrize("name", ALWAYS)
def test_what_has_no_counterpart_is_named_with_what_comes_nearest(name):
    usual, instead = ALWAYS[name]
    assert translate({name: usual}) == {}
    with pytest.raises(UserError, match=f"{name}='something else' has no counterpart here: "):
        translate({name: "something else"})
    assert len(instead) > 15


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"device": [0, 1]}, "one device trains a run"),
        ({"imgsz": [64, 96]}, "training images are square, give one number"),
        ({"batch": -1}, "no batch size is found by itself"),
        ({"batch": 0.7}, "no batch size is found by itself"),
        ({"cache": [1]}, r"cache=\[1\] has the wrong type"),
        ({"data": None}, "data=None is no data set"),
        ({"cls_pw": 0.5}, "The loss of yolo26 has no use for cls_pw"),
        ({"cls_pw": 1.0}, "The loss of yolo26 has no use for cls_pw"),
        ({"imgsz": 100}, "multiples of 32"),
    ],
)
def test_a_refused_training_leaves_the_model_and_the_folder_as_they_were(arguments, told, coco8):
    model = YOLO("packaged-yolo26n")
    before = model.model
    with pytest.raises(UserError, match=told):
        model.train(**{"data": "coco8.yaml", "epochs": 1, "imgsz": 64} | arguments)
    assert model.model is before and model.names[0] == "person"
    assert not (coco8 / "runs").exists()


def test_devices_are_written_in_several_ways():
    assert translate({"device": ""}) == translate({"device": []}) == {}
    assert translate({"device": ["cpu"]}) == {"device": "cpu"}


def test_the_other_calls_of_the_guide(coco8):
    """`model.val()` after a training measures on what was trained on, and a model is called like a function."""
    model = YOLO("yolo26n.pt")
    with pytest.raises(UserError, match="Say what to measure on"):
        model.val()
    model.train(data="coco8.yaml", epochs=1, imgsz=64)
    assert model.val(imgsz=64, plots=False).map50 == model.val("coco8.yaml", imgsz=64).map50
    folder = coco8 / "coco8" / "images" / "val"
    paths = sorted(folder.iterdir())
    many = model(source=folder, imgsz=64, conf=0.0, verbose=False)
    assert len(many) == len(paths) == 4
    for path, found in zip(paths, many, strict=True):
        with Image.open(path) as picture:
            for same in (model(path, imgsz=64, conf=0.0), model([picture], imgsz=64, conf=0.0)):
                np.testing.assert_array_equal(same[0].boxes, found.boxes)


@pytest.mark.parametrize("name", ASKING)
def test_asking_for_what_cannot_be_had_is_named(name):
    usual, instead = ASKING[name]
    refuse_others({name: usual}, [])
    with pytest.raises(UserError, match=f"{name}='something else' has no counterpart here: "):
        refuse_others({name: "something else"}, [])
    assert len(instead) > 15


@pytest.mark.parametrize("method", ["val", "predict"])
def test_a_misspelt_argument_names_the_nearest(method):
    with pytest.raises(UserError, match="There is no argument 'imgs': did you mean 'imgsz'?"):
        getattr(YOLO("yolov5n.yaml"), method)("cells", imgs=64)


@pytest.mark.parametrize(
    "image, told",
    [
        (0, "not int"),
        (None, "not NoneType"),
        (torch.zeros(1, 3, 64, 64), r"not Tensor torch.float32 \(1, 3, 64, 64\)"),
        (np.zeros((64, 64), np.uint8), r"not ndarray uint8 \(64, 64\)"),
        (np.zeros((64, 64, 4), np.uint8), r"not ndarray uint8 \(64, 64, 4\)"),
        (np.zeros((64, 64, 3)), r"not ndarray float64 \(64, 64, 3\)"),
        ("https://example.org/a.jpg", "There is no file or folder https:"),
        ("no/*.jpg", "There is no file or folder no"),
    ],
)
def test_what_is_no_image_is_told(image, told):
    with pytest.raises(UserError, match=told):
        YOLO("yolov5n.yaml").predict(image)


@pytest.mark.parametrize("name", ["yolov5n.yaml", "yolo26n.yaml"])
@pytest.mark.parametrize(
    "arguments",
    [{"imgsz": 100}, {"imgsz": 0}, {"imgsz": [64, 96]}, {"imgsz": 64.0}, {"conf": 2}, {"iou": -1}, {"conf": np.nan}],
)
def test_predict_refuses_numbers_that_cannot_work(name, arguments):
    with pytest.raises(UserError, match=next(iter(arguments))):
        YOLO(name).predict(np.zeros((64, 96, 3), np.uint8), **arguments)


@pytest.mark.parametrize("arguments", [{"imgsz": 100}, {"imgsz": 0}, {"batch": 0}])
def test_val_refuses_numbers_that_cannot_work(arguments):
    with pytest.raises(UserError, match=next(iter(arguments))):
        YOLO("yolo26n.yaml").val("cells", **arguments)


@pytest.mark.parametrize(("name", "own", "other"), [("yolo26n.yaml", 0.7, 0.6), ("yolov5n.yaml", 0.6, 0.7)])
def test_val_takes_the_numbers_that_its_family_is_measured_with(name, own, other, coco8):
    model = YOLO(name)
    asked, plain = (model.val("coco8.yaml", imgsz=32, **own_values) for own_values in ({"iou": own, "conf": 0.001}, {}))
    assert asked.to_dict() == plain.to_dict()
    for arguments in ({"iou": other}, {"conf": 0.25}):
        with pytest.raises(UserError, match="has no counterpart here"):
            model.val("coco8.yaml", imgsz=32, **arguments)


def test_attributes_that_users_of_ultralytics_look_for_have_a_signpost():
    model = YOLO("yolov5n.yaml")
    metrics, found = Metrics(0.5, 0.4, 0.3, 0.2, 0.1, pd.DataFrame(), {}), Detections()
    for thing, names in ((model, YOLO.elsewhere), (metrics, Metrics.elsewhere), (found, Detections.elsewhere)):
        for name in names:
            assert not hasattr(thing, name)
            with pytest.raises(UserError, match=f"{type(thing).__name__} has no '{name}' here: "):
                getattr(thing, name)
        with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
            thing.nonsense  # noqa: B018
        copy.deepcopy(thing)


def test_a_misspelt_name_still_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        YOLO("yolo26n.yaml").train(epoch=3)


@pytest.fixture
def coco8(tmp_path, monkeypatch):
    """A folder like coco8 (4 + 4 images, 80 classes) with its yaml beside it, and official-format weights."""
    names = {i: f"thing {i}" for i in range(80)}
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / "coco8" / kind / split).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (96, 64), (40 * i, 90, 200)).save(tmp_path / f"coco8/images/{split}/{i:012}.jpg")
            label = tmp_path / f"coco8/labels/{split}/{i:012}.txt"
            label.write_text(f"{7 * i} 0.5 0.5 0.4 0.6\n{79 - i} 0.3 0.4 0.2 0.3\n", encoding="utf-8")
    content = {"path": "coco8", "train": "images/train", "val": "images/val", "names": names}
    (tmp_path / "coco8.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    write_ultralytics(tmp_path / "yolo26n.pt", build_model("yolo26n", names=names))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_guides_example_runs_with_only_the_import_changed(coco8):
    """As in the guide, but for two epochs of small images: data and weights lie in the working folder."""
    model = YOLO("yolo26n.pt")
    results = model.train(data="coco8.yaml", epochs=2, imgsz=64)
    assert results.path.resolve() == (coco8 / "runs" / "train").resolve()
    assert results.summary["model"] == "yolo26n" and results.summary["num_classes"] == 80
    assert results.summary["epochs"] == 2 and (results.path / "weights" / "best.pt").is_file()


def test_without_a_network_official_weights_are_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(RELEASES, "yolo26", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"yolo26n.pt is not on this machine and cannot be fetched .*put it at"):
        YOLO("yolo26n.pt")


def test_the_constructor_takes_ultralytics_words():
    model = YOLO(model="packaged-yolo26n", task="detect", verbose=False)
    assert model.weights == "packaged-yolo26n" and YOLO("packaged", task=None).weights == "packaged"
    with pytest.raises(UserError, match="task='segment' has no counterpart here: this package detects"):
        YOLO("packaged", task="segment")
    with pytest.raises(UserError, match="no argument 'weihgts': did you mean 'weights'"):
        YOLO(weihgts="packaged")


def test_the_command_line_knows_the_same_words():
    assert _assignments(["nbs=32", "amp=false", "plots=true"]) == {"nominal_batch": 32, "precision": "fp32"}
    with pytest.raises(UserError, match="cutmix=0.1 has no counterpart here: mixup and mosaic"):
        _assignments(["cutmix=0.1"])
    with pytest.raises(UserError, match="end2end=True has no counterpart here: nms=False"):
        translate({"end2end": True})


@pytest.mark.parametrize(("name", "value"), [("box", -1), ("cls", -0.1), ("iou_t", 2), ("warmup_momentum", 2.0)])
def test_gains_and_warm_up_have_a_range(name, value):
    with pytest.raises(UserError, match=f"{name}={value:g} is out of range"):
        TrainConfig.from_dict({"data": "cells", name: value})


@pytest.mark.parametrize(("verbose", "shown"), [({}, 1), ({"verbose": True}, 1), ({"verbose": False}, 0)])
def test_verbose_decides_about_the_usual_display(coco8, monkeypatch, verbose, shown):
    heard = []
    monkeypatch.setattr(api, "default_listener", lambda: lambda event, info: heard.append(event))
    YOLO("yolo26n.pt").train(data="coco8.yaml", epochs=1, imgsz=64, **verbose)
    assert heard.count("end") == shown
