"""Ultralytics' calls work with only the import changed; what has no counterpart is named with what comes nearest."""

import pytest
import yaml
from official_format import write_ultralytics
from PIL import Image

from yolo_ft import YOLO, UserError
from yolo_ft.core.config import TrainConfig
from yolo_ft.finetune.argument_names import ALWAYS, translate
from yolo_ft.finetune.downloads import RELEASES
from yolo_ft.models import build_model

# the defaults of Ultralytics 8.4's train()
DEFAULTS = {
    **{"epochs": 100, "patience": 100, "batch": 16, "imgsz": 640, "workers": 8, "optimizer": "auto", "seed": 0},
    **{"deterministic": True, "single_cls": False, "rect": False, "cos_lr": False, "close_mosaic": 10, "amp": True},
    **{"fraction": 1.0, "multi_scale": 0.0, "val": True, "plots": True, "lr0": 0.01, "lrf": 0.01, "momentum": 0.937},
    **{"weight_decay": 0.0005, "warmup_epochs": 3, "warmup_momentum": 0.8, "warmup_bias_lr": 0.1, "box": 7.5},
    **{"cls": 0.5, "cls_pw": 0.0, "dfl": 1.5, "nbs": 64, "hsv_h": 0.015, "hsv_s": 0.7, "hsv_v": 0.4, "degrees": 0.0},
    **{"translate": 0.1, "scale": 0.5, "shear": 0.0, "perspective": 0.0, "flipud": 0.0, "fliplr": 0.5, "bgr": 0.0},
    **{"mosaic": 1.0, "mixup": 0.0, "cutmix": 0.0, "copy_paste": 0.0, "device": None, "cache": False},
}


def test_all_default_arguments_are_settings():
    config = TrainConfig.from_dict(translate(DEFAULTS))
    assert (config.nominal_batch, config.precision, config.cache, config.device) == (64, "auto", "none", "auto")
    assert config.cls_pw == TrainConfig().cls_pw
    assert (config.optimizer, config.box, config.momentum, config.close_mosaic) == ("auto", 7.5, 0.937, 10)


def test_other_spellings():
    assert translate({"device": 0, "amp": False, "cache": True}) == {"device": "0", "precision": "fp32", "cache": "ram"}
    assert translate({"cache": "ram", "views": 3}) == {"cache": "ram", "views": 3}


@pytest.mark.parametrize("name", ALWAYS)
def test_what_has_no_counterpart_is_named_with_what_comes_nearest(name):
    usual, instead = ALWAYS[name]
    assert translate({name: usual}) == {}
    with pytest.raises(UserError, match=f"{name}='something else' has no counterpart here: "):
        translate({name: "something else"})
    assert len(instead) > 15


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
