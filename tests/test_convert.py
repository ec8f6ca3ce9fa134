"""convert: any format into any other, what is kept and what is named as lost."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from annotation_sets import boxes_of, coco_text, draw, voc_xml, write, write_voc_set
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_sets import fingerprint, in_memory, photograph, write_set

from yolo_ft.cli import main
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.conversion.convert import convert
from yolo_ft.data.conversion.tiling import tile
from yolo_ft.data.dataset import load_dataset, load_splits
from yolo_ft.data.formats.records import CROWD, DIFFICULT, POLYGON, TRUNCATED

FORMATS = ("yolo", "voc", "coco")
GOOD = "0 0.5 0.5 0.2 0.5\n"


def coco_set(folder):
    """One image with an object, an outline and a crowd region; one image that is not there."""
    draw(folder / "a.png")
    content = json.loads(coco_text([(1, "a.png", 60, 100), (2, "b.png", 60, 100)], [], {4: "x", 9: "y"}))
    content["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 9, "bbox": [1, 2, 30, 40]},
        {"id": 2, "image_id": 1, "category_id": 4, "bbox": [5, 5, 9, 9], "segmentation": [[5, 5, 14, 5, 9, 14]]},
        {"id": 3, "image_id": 1, "category_id": 4, "bbox": [0, 0, 99, 50], "iscrowd": 1},
    ]
    write(folder / "_annotations.coco.json", json.dumps(content))
    return folder


def voc_set(folder):
    extra = "<truncated>1</truncated><difficult>1</difficult>"
    return write_voc_set(folder, {"a": voc_xml("a.png", [("x", 2, 2, 9, 9)], extra=extra)}, {"val.txt": "a"})


@pytest.mark.parametrize("format", FORMATS)
def test_a_set_without_a_single_image_leaves_nothing_behind(tmp_path, format):
    write(tmp_path / "set" / "x.json", coco_text([(1, "gone.png", 60, 100)], [], {1: "x"}))
    with pytest.raises(UserError, match="no image to work on.*images=FOLDER"):
        convert(tmp_path / "set" / "x.json", tmp_path / "out", format)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(("one", "other"), list(itertools.product(FORMATS, FORMATS)))
def test_every_pair_keeps_boxes_classes_sizes_splits_and_bytes(tmp_path, one, other):
    rows = {"train/ä b.png": "2 0.1 0.2 0.1 0.1\n0 0.333333 0.5 0.2 0.9\n", "val/c.mp4#t=1.jpg": GOOD, "val/e.png": ""}
    yaml_text = "train: images/train\nval: images/val\nnames: [Zebra, Ämter & Co, a]\n"
    source = load_splits(write_set(tmp_path / "set", rows, yaml_text, size=(61, 103)))
    before = fingerprint(tmp_path / "set")
    first = convert(tmp_path / "set", tmp_path / "one", one)
    second = convert(tmp_path / "one", tmp_path / "two", other)
    assert not first.lost and not second.lost and not first.renamed
    assert second.images == {"train": 1, "val": 2} and second.objects == {"train": 2, "val": 1}
    result = load_splits(tmp_path / "two")
    assert list(result) == ["train", "val"]
    for split, dataset in result.items():
        assert dataset.names == source[split].names
        for i in range(len(dataset)):
            assert dataset.size(i) == source[split].size(i) == (61, 103)
            assert dataset.path(i).name == source[split].path(i).name
            assert dataset.path(i).read_bytes() == source[split].path(i).read_bytes()
            assert np.abs(dataset.target(i).boxes - source[split].target(i).boxes).max(initial=0) < 0.02
            assert dataset.target(i).labels.tolist() == source[split].target(i).labels.tolist()
    assert fingerprint(tmp_path / "set") == before


sides = st.integers(10, 3000)
box = st.tuples(*[st.floats(0, 1, width=32) for _ in range(4)], st.integers(0, 2))


@settings(deadline=None, max_examples=20)
@given(sides, sides, st.lists(box, min_size=1, max_size=6), st.permutations(FORMATS))
def test_any_boxes_survive_all_formats_in_any_order(height, width, rows, order):
    """Corners anywhere in the image, boxes from a quarter of a pixel up to all of it."""
    values = np.array(rows, np.float32)
    corners = np.sort(values[:, :4].reshape(-1, 2, 2), axis=1).reshape(-1, 4) * [width, height, width, height]
    corners[:, 2:] = np.minimum(np.maximum(corners[:, 2:], corners[:, :2] + 0.25), [width, height])
    corners = corners[(corners[:, 2:] - corners[:, :2] >= 0.2).all(1)]
    corners = np.unique(corners.round(1), axis=0)
    labels = values[: len(corners), 4]
    current = in_memory([np.zeros((height, width, 3), np.uint8)], [Target(corners, labels)], classes=3)
    with tempfile.TemporaryDirectory() as folder:
        for number, format in enumerate(order):
            convert(current, Path(folder) / str(number), format)
            current = Path(folder) / str(number)
        dataset = load_splits(current)["train"]
    assert dataset.size(0) == (height, width)
    assert dataset.target(0).labels.tolist() == labels.tolist()
    assert np.abs(dataset.target(0).boxes - corners).max(initial=0) <= 0.5
    assert list(dataset.names.values()) == ["class0", "class1", "class2"]


@pytest.mark.parametrize(
    ("make", "format", "lost", "objects"),
    [
        (coco_set, "yolo", {CROWD: 1, POLYGON: 1}, {"train": 2}),
        (coco_set, "voc", {CROWD: 1, POLYGON: 1}, {"train": 2}),
        (coco_set, "coco", {POLYGON: 1}, {"train": 3}),
        (voc_set, "yolo", {DIFFICULT: 1, TRUNCATED: 1}, {"val": 1}),
        (voc_set, "coco", {DIFFICULT: 1, TRUNCATED: 1}, {"val": 1}),
        (voc_set, "voc", {}, {"val": 1}),
    ],
)
def test_what_the_target_cannot_hold_is_counted_and_told(tmp_path, make, format, lost, objects):
    report = convert(make(tmp_path / "set"), tmp_path / "out", format)
    assert report.lost == lost and report.objects == objects
    text = str(report)
    assert ("1 crowd regions are left out" in text) == (CROWD in lost) and "no box to learn" not in text
    assert ("outlines" in text) == (POLYGON in lost) and ("lose the mark 'difficult'" in text) == (DIFFICULT in lost)
    assert ("left out, train: b.png: there is no image of this name" in text) == (make is coco_set)
    if format == "coco" and make is coco_set:
        content = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text(encoding="utf-8"))
        assert [each["iscrowd"] for each in content["annotations"]] == [0, 0, 1]
        assert [each["bbox"] for each in content["annotations"]][0] == [1, 2, 30, 40]
    if format == "voc" and make is voc_set:
        again = (tmp_path / "out" / "Annotations" / "a.xml").read_text(encoding="utf-8")
        assert "<difficult>1</difficult>" in again and "<xmin>2</xmin>" in again and "<xmax>9</xmax>" in again


def test_a_split_whose_images_are_all_bad_is_left_out_and_named(tmp_path):
    yaml_text = "train: images/a\nval: images/b\nnames: [x]\n"
    file = write_set(tmp_path / "set", {"a/1.png": GOOD, "b/2.png": "7 0.5 0.5 0.1 0.1\n"}, yaml_text)
    report = convert(file, tmp_path / "out", "yolo")
    assert report.images == {"train": 1} and "left out, val: labels/b/2.txt, line 1: class 7" in str(report)
    assert list(load_splits(tmp_path / "out")) == ["train"]


def test_a_polygon_row_of_yolo_is_named(tmp_path):
    rows = {"a.png": "0 0.1 0.2 0.5 0.4 0.3 0.8\n" + GOOD}
    report = convert(write_set(tmp_path / "set", rows), tmp_path / "out", "coco")
    assert report.lost == {POLYGON: 2}  # train and val are the same folder here


def test_images_of_one_name_get_different_ones(tmp_path):
    yaml_text = "train: [images/v1, images/V2]\nnames: [x]\n"
    rows = {"v1/f.png": GOOD, "V2/F.png": GOOD, "V2/f.jpg": GOOD}
    report = convert(write_set(tmp_path / "set", rows, yaml_text), tmp_path / "out", "voc")
    assert report.renamed == {"images/V2/F.png": "images_V2_F.png", "images/V2/f.jpg": "images_V2_f_2.jpg"}
    assert "2 images got another name" in str(report)
    dataset = load_dataset(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "JPEGImages").iterdir()) == sorted(
        dataset.path(i).name for i in range(3)
    )
    first = (tmp_path / "set" / "images" / "V2" / "F.png").read_bytes()
    assert (tmp_path / "out" / "JPEGImages" / "images_V2_F.png").read_bytes() == first


def test_names_that_look_like_others_survive_voc(tmp_path):
    names = ["x.jpg.png", "y.Tif.png", " lead.png", "trail .png", "a 1.png", "a.png"] + ['"q".png'] * (os.name != "nt")
    source = load_dataset(write_set(tmp_path / "set", dict.fromkeys(names, GOOD)))
    convert(source, tmp_path / "out", "voc")
    dataset = load_dataset(tmp_path / "out")
    assert sorted(dataset.path(i).name for i in range(len(dataset))) == sorted(names)
    assert not dataset.health.issues and dataset.health.objects == len(names)


@pytest.mark.parametrize("format", ["voc", "coco"])
def test_two_classes_of_one_name_are_refused_where_only_names_tell_them_apart(tmp_path, format):
    file = write_set(tmp_path / "set", {"a.png": GOOD}, "train: images\nnames: [dog, cat, 'cat ']\n")
    with pytest.raises(UserError, match=f"Classes 1 and 2 are both called 'cat', and {format} .*rename one"):
        convert(file, tmp_path / "out", format)
    assert not (tmp_path / "out").exists()
    assert convert(file, tmp_path / "out", "yolo").objects == {"train": 1}


def test_boxes_that_are_cut_at_the_edge_are_listed(tmp_path):
    folder = write_voc_set(tmp_path / "set", {"a": voc_xml("a.png", [("x", 51, 1, 140, 60)])})
    told = "left out, train: Annotations/a.xml: object 1, x: 40 pixels of the box lie over the edge of the image"
    assert told in str(convert(folder, tmp_path / "out", "yolo"))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_that_cannot_be_decoded_is_left_out_and_named(tmp_path, suffix):
    dataset = load_dataset(write_set(tmp_path / "set", {f"a.{suffix}": GOOD, f"b.{suffix}": GOOD}))
    broken = tmp_path / "set" / "images" / f"b.{suffix}"
    broken.write_bytes(broken.read_bytes()[:1500])  # after the scan, as a file that the scan does not see through
    report = convert(dataset, tmp_path / "out", "voc")
    assert report.images == report.objects == {"train": 1} and not dataset.health.issues
    assert f"left out, train: images/b.{suffix}: it is damaged or truncated" in str(report)
    assert [path.name for path in (tmp_path / "out").rglob("b.*")] == [] and len(load_dataset(tmp_path / "out")) == 1
    with pytest.raises(UserError, match="No image can be decoded: left out, train: images/b"):
        convert(dataset.subset([1]), tmp_path / "none", "coco")
    assert not (tmp_path / "none").exists()


def test_drawn_images_become_png(tmp_path):
    dataset = in_memory([photograph(20, 40)], [Target([[1, 2, 30, 15]], [2])])
    convert(dataset, tmp_path / "out", "yolo")
    again = load_dataset(tmp_path / "out")
    assert (again.image(0) == photograph(20, 40)).all() and boxes_of(again) == [("class2", 1, 2, 30, 15)]


def test_nothing_is_written_over_or_into_the_source(tmp_path):
    file = write_set(tmp_path / "set", {"a.png": GOOD})
    with pytest.raises(UserError, match="is not empty: name a new folder"):
        convert(file, tmp_path / "set", "voc")
    with pytest.raises(UserError, match="lies inside"):
        convert(file, tmp_path / "set" / "voc", "voc")
    with pytest.raises(UserError, match="no format 'tfrecord' to write: choose one of yolo, voc, coco"):
        convert(file, tmp_path / "out", "tfrecord")
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_no_half_folder_and_ends_at_once(tmp_path, monkeypatch):
    file, tried = write_set(tmp_path / "set", {f"{i}.png": GOOD for i in range(60)}), []

    def full(source, _):
        tried.append(source)
        time.sleep(0.01)  # so that the other images are still waiting when the first has failed
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        convert(file, tmp_path / "out", "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"] and len(tried) < 60


def test_the_command_line(tmp_path, capsys):
    folder = write_voc_set(tmp_path / "voc", {"a": voc_xml("a.png", [("x", 2, 2, 9, 9)])})
    (folder / "JPEGImages").rename(tmp_path / "pictures")
    command = ["data", "convert", str(folder), "--images", str(tmp_path / "pictures"), "--to", "yolo"]
    assert main([*command, "--origin", "0", "--out", str(tmp_path / "out")]) == 0
    assert "out (yolo): train 1 images, 1 boxes" in capsys.readouterr().out
    assert boxes_of(load_dataset(tmp_path / "out")) == [("x", 2, 2, 9, 9)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_no_folder_that_the_source_is_read_from_takes_the_result(tmp_path):
    """The next reading of the source would find the result in it."""
    base = write_set(tmp_path / "base", {"train/a.png": GOOD})
    base.unlink()
    spec = write(tmp_path / "yo" / "data.yaml", "path: ../base\ntrain: images/train\nnames: [x]\n")
    listed = write(tmp_path / "li" / "data.yaml", "train: train.txt\nnames: [x]\n")
    write(tmp_path / "li" / "train.txt", "../base/images/train/a.png\n")
    coco = write(tmp_path / "an" / "a.json", coco_text([(1, "a.png", 60, 100)], [(1, 1, [1, 1, 9, 9])], {1: "x"}))
    voc = write_voc_set(tmp_path / "voc", {"a": voc_xml("a.png", [("x", 2, 2, 9, 9)])})
    draw(tmp_path / "pictures" / "a.png")
    before = fingerprint(tmp_path)
    for data, images, out in (
        (spec, None, "base/images/train/new"),
        (spec, None, "base/new"),
        (spec, None, "yo/new"),
        (listed, None, "base/images/train/new"),
        (load_dataset(spec), None, "base/images/train/new"),
        (coco, tmp_path / "pictures", "pictures/new"),
        (coco, tmp_path / "pictures", "an/new"),
        (voc, tmp_path / "pictures", "pictures/new"),
        (voc, None, "voc/JPEGImages/new"),
    ):
        for make in (lambda *a, **k: convert(*a, "voc", **k), tile):
            with pytest.raises(UserError, match="lies inside .*, which stays as it is"):
                make(data, tmp_path / out, images=images)
    inside = str(tmp_path / "pictures" / "new")
    for command in ("check", "stats"):
        assert main(["data", command, str(coco), "--images", str(tmp_path / "pictures"), "--out", inside]) == 2
    assert main(["data", "split", str(spec), "--out", str(tmp_path / "base" / "new")]) == 2
    assert fingerprint(tmp_path) == before
