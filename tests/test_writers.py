"""Files of other formats by hand, and predictions as labels to correct."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import yaml
from annotation_sets import boxes_of, draw
from PIL import Image

from yolo_ft.cli import main
from yolo_ft.core.targets import Detections, Target
from yolo_ft.data.dataset import load_dataset
from yolo_ft.data.formats.records import CROWD, DIFFICULT, Record
from yolo_ft.data.formats.writers import write_coco, write_predictions, write_voc, write_yolo, yolo_rows

NAMES = {0: "cat", 1: "Ä & B"}


def record(folder, boxes=((10, 20, 30.5, 60),), labels=(1,), marks=(frozenset(),)):
    return Record("a.png", folder / "a.png", (80, 200), Target(boxes, labels), tuple(marks))


def test_an_image_without_boxes_is_written_as_background(tmp_path):
    empty = record(tmp_path, (), (), ())
    assert yolo_rows(empty) == ""
    for number, write in enumerate((write_yolo, write_voc, write_coco)):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder, NAMES, {"val": [empty]})
    assert (tmp_path / "0" / "labels" / "val" / "a.txt").read_bytes() == b""
    assert "<object>" not in (tmp_path / "1" / "Annotations" / "a.xml").read_text(encoding="utf-8")
    content = json.loads((tmp_path / "2" / "annotations" / "instances_val.json").read_text(encoding="utf-8"))
    assert len(content["images"]) == 1 and content["annotations"] == []


def test_yolo_by_hand(tmp_path):
    write_yolo(tmp_path, NAMES, {"train": [record(tmp_path)], "test": [record(tmp_path)]})
    # 200 x 80 px: centre 20.25 / 200, 40 / 80; size 20.5 / 200, 40 / 80
    row = "1 0.101250 0.500000 0.102500 0.500000\n"
    assert (tmp_path / "labels" / "train" / "a.txt").read_bytes() == row.encode()
    content = yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))
    assert content == {"train": "images/train", "test": "images/test", "names": NAMES}


def test_voc_by_hand(tmp_path):
    write_voc(tmp_path, NAMES, {"train": [record(tmp_path, marks=[frozenset({DIFFICULT})])]})
    root = ElementTree.parse(tmp_path / "Annotations" / "a.xml").getroot()
    assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["200", "80", "3"]
    assert (root.findtext("filename"), root.findtext("object/name")) == ("a.png", "Ä & B")
    corners = [root.findtext(f"object/bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")]
    assert corners == ["11", "21", "30.5", "60"]  # the first pixel is number 1
    assert (root.findtext("object/difficult"), root.findtext("object/truncated")) == ("1", "0")
    assert (tmp_path / "ImageSets" / "Main" / "train.txt").read_bytes() == b"a\n"
    assert (tmp_path / "labelmap.txt").read_text(encoding="utf-8").splitlines()[1:] == ["cat:::", "Ä & B:::"]


def test_coco_by_hand(tmp_path):
    marks = [frozenset({CROWD}), frozenset()]
    two = record(tmp_path, ((10, 20, 30.5, 60), (0, 0, 1, 2)), (1, 0), marks)
    write_coco(tmp_path, NAMES, {"train": [two], "val": [two]})
    train, val = (
        json.loads((tmp_path / "annotations" / f"instances_{split}.json").read_text(encoding="utf-8"))
        for split in ("train", "val")
    )
    assert train["images"] == [{"id": 1, "file_name": "a.png", "width": 200, "height": 80}]
    first = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [10, 20, 20.5, 40], "area": 820}
    assert train["annotations"][0] == {**first, "segmentation": [], "iscrowd": 1}
    assert [each["id"] for each in val["annotations"]] == [3, 4] and val["images"][0]["id"] == 2
    assert [(each["id"], each["name"]) for each in val["categories"]] == [(1, "cat"), (2, "Ä & B")]


def test_predictions_are_labels_in_label_studios_layout(tmp_path):
    found = Detections([[10, 20, 30.5, 60]], [0.3], [1])
    write_predictions(tmp_path / "run", record(tmp_path).image.relative_to(tmp_path), (80, 200), found, NAMES)
    assert (tmp_path / "run" / "labels" / "a.txt").read_text(encoding="utf-8").startswith("1 0.101250")
    assert (tmp_path / "run" / "classes.txt").read_bytes() == "cat\nÄ & B\n".encode()
    draw(tmp_path / "pictures" / "a.png", (80, 200))
    labels = load_dataset(tmp_path / "run", images=tmp_path / "pictures")
    assert not labels.health.issues and boxes_of(labels) == [("Ä & B", 10, 20, 30.5, 60)]


class OneBox:
    """Stands in for api.YOLO: finds one box in every image."""

    names = {0: "cat", 1: "dog"}

    def __init__(self, weights=None):
        pass

    def predict(self, image, **settings):
        assert settings in ({}, {"conf": 0.4}, {"tile": 64, "overlap": 0.5})
        return [Detections(np.array([[1, 2, 11, 22]], np.float32), [0.5], [1])]


@pytest.mark.parametrize("options", [[], ["--conf", "0.4"], ["--tile", "64", "--overlap", "0.5"]])
def test_predict_save_labels_can_be_loaded_and_converted(tmp_path, monkeypatch, capsys, options):
    monkeypatch.setattr("yolo_ft.api.YOLO", OneBox)
    pictures, runs = tmp_path / "pictures", tmp_path / "runs"
    for name in ("v1/f.png", "v2/f.png", "ä b.png"):
        draw(pictures / name, (30, 40))
    assert main(["predict", str(pictures), "--save-labels", "--project", str(runs), *options]) == 0
    told = capsys.readouterr().err
    assert f"a score of at least {0.4 if '--conf' in options else 0.25}" in told
    dataset = load_dataset(runs / "predict", images=pictures)
    assert sorted(dataset.keys) == ["v1/f.png", "v2/f.png", "ä b.png"] and dataset.names == OneBox.names
    assert [boxes_of(dataset, i) for i in range(3)] == [[("dog", 1, 2, 11, 22)]] * 3
    command = ["data", "convert", str(runs / "predict"), "--images", str(pictures), "--to", "coco"]
    assert main([*command, "--out", str(tmp_path / "coco")]) == 0
    assert (tmp_path / "coco" / "annotations" / "instances_train.json").is_file()


def test_predict_writes_no_labels_unasked_and_none_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("yolo_ft.api.YOLO", OneBox)
    draw(tmp_path / "a.png"), Image.new("RGB", (20, 20)).save(tmp_path / "A.jpg")
    command = ["predict", str(tmp_path / "a.png"), str(tmp_path / "A.jpg"), "--project", str(tmp_path / "runs")]
    assert main([*command, "--save-labels"]) == 2
    assert "Two images are called a" in capsys.readouterr().err and not (tmp_path / "runs").exists()
    assert main(command) == 0
    assert not (tmp_path / "runs" / "predict" / "labels").exists()
