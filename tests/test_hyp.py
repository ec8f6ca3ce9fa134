"""YOLOv5's hyper-parameter files, by name and from disk."""

import pytest

from yolo_ft.api import YOLO
from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.finetune import prefix_cache
from yolo_ft.finetune.hyp import AUGMENTATION, PRESETS, SHIPPED, load_hyp


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.filterwarnings("ignore:These hyper-parameters")
def test_every_shipped_file_is_a_valid_configuration(name):
    config = TrainConfig.from_dict(load_hyp(name))
    assert config.optimizer == "SGD" and config.nominal_batch == 64 and config.ema_decay == 0.9999
    assert load_hyp(f"{name}.yaml") == load_hyp(name)


def test_known_digits():
    assert load_hyp("hyp.finetune")["lr0"] == 0.0032 and SHIPPED["hyp.VOC"]["anchors"] == 3.412
    assert load_hyp("hyp.scratch-med")["mixup"] == 0.1 and load_hyp("hyp.scratch-low")["warmup_min_steps"] == 100


def test_a_file_on_disk_wins_and_may_have_a_byte_order_mark(tmp_path, monkeypatch):
    (tmp_path / "hyp.VOC.yaml").write_bytes(b"\xef\xbb\xbflr0: 0.5\r\nmosaic: 0.0  # none\r\n")
    monkeypatch.chdir(tmp_path)
    values = load_hyp("hyp.VOC.yaml")
    assert values["lr0"] == 0.5 and values["mosaic"] == 0.0 and values["momentum"] == 0.937


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("lr: 0.1\n", "did you mean 'lr"), ("- 1\n", "no 'key: value'"), ("lr0: [\n", "not a readable YAML")],
)
def test_bad_files_are_sentences(tmp_path, text, sentence):
    path = tmp_path / "hyp.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        load_hyp(path)


def test_a_missing_file_names_the_shipped_ones():
    with pytest.raises(UserError, match="hyp.finetune"):
        load_hyp("hyp.finetun.yaml")


def test_keys_that_cannot_act_warn(tmp_path):
    path = tmp_path / "hyp.yaml"
    path.write_text("copy_paste: 0.1\niou_t: 0.3\nanchors: 3\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="no effect here: anchors, iou_t"):
        load_hyp(path)


def test_pasting_acts_so_nothing_warns(recwarn):
    assert load_hyp("hyp.scratch-high")["copy_paste"] == 0.1 and not recwarn.list


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_the_augmentation_and_nothing_else(name):
    values = load_hyp(name)
    assert set(values) == set(AUGMENTATION) and values is not PRESETS[name]
    config, usual = TrainConfig.from_dict(values), TrainConfig()
    same = [key for key in usual.to_dict() if key not in AUGMENTATION]
    assert all(getattr(config, key) == getattr(usual, key) for key in same)


def test_presets_grow_from_none_to_strong():
    none, light, default, strong = (PRESETS[name] for name in ("none", "light", "default", "strong"))
    assert set(none.values()) == {0.0} and TrainConfig(**default) == TrainConfig()
    for key in AUGMENTATION:
        assert none[key] <= light[key] <= default[key] <= strong[key]
    assert none != light != default != strong


def test_the_settings_of_the_presets_are_those_that_decide_about_an_image():
    assert set(AUGMENTATION) == set(prefix_cache.AUGMENTATION) - {"imgsz", "seed"}


def test_a_file_named_like_a_preset_wins(tmp_path, monkeypatch):
    (tmp_path / "light").write_text("lr0: 0.5\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_hyp("light")["lr0"] == 0.5


def test_a_preset_is_for_every_family_and_settings_beside_it_win():
    model = YOLO("yolo26n.yaml")
    with pytest.raises(UserError, match="YOLOv5's gains"):
        model.train("cells", hyp="hyp.finetune")
    with pytest.raises(UserError, match="degrees='much'"):  # the preset was read, and overridden
        model.train("cells", hyp="strong", degrees="much")
