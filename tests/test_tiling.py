"""Data sets cut into tiles: boxes worked out by hand, splits, and the table of places."""

from __future__ import annotations

import csv
import warnings

import numpy as np
import pytest
from annotation_sets import boxes_of, coco_text, draw, write
from picture_sets import in_memory, photograph, rectangles, write_set
from PIL import Image

from yolo_ft.cli import main
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.conversion.tiling import tile
from yolo_ft.data.dataset import load_dataset, load_splits
from yolo_ft.data.formats.records import CROWD, POLYGON

SPEC = "train: images\nnames: [x]\n"


def test_boxes_are_cut_by_hand(tmp_path):
    """100 x 40 px in two tiles of 64 px, from 0 and 36; boxes of 20 px width at 10, 40, 55 and 62."""
    boxes = [[10, 5, 30, 15], [40, 20, 60, 30], [55, 5, 75, 15], [62, 30, 82, 40]]
    image = rectangles(40, 100, boxes, [0, 1, 2, 3])
    report = tile(in_memory([image], [Target(boxes, [0, 1, 2, 3])]), tmp_path / "out", 64, 0.2, min_visible=0.25)
    dataset = load_dataset(tmp_path / "out")
    assert [path.split("/")[-1] for path in dataset.keys] == ["image0__x0_y0.png", "image0__x36_y0.png"]
    assert boxes_of(dataset, 0) == [
        ("class0", 10, 5, 30, 15),
        ("class1", 40, 20, 60, 30),
        ("class2", 55, 5, 64, 15),  # 9 of 20 px are left of 64: kept, cut; of the last box 2 of 20: left out
    ]
    assert boxes_of(dataset, 1) == [("class1", 4, 20, 24, 30), ("class2", 19, 5, 39, 15), ("class3", 26, 30, 46, 40)]
    assert (dataset.image(0) == image[:, :64]).all() and (dataset.image(1) == image[:, 36:]).all()
    assert (report.cut, report.dropped, report.unseen) == (1, 1, 0)
    assert (report.images, report.tiles, report.boxes) == ({"train": 1}, {"train": 2}, {"train": 6})
    assert "1 images in 2 tiles, 6 boxes" in str(report) and "1 parts were too small" in str(report)


def test_all_tiles_of_an_image_stay_in_its_split_and_the_table_says_where_they_lie(tmp_path):
    rows = {"train/a.png": "0 0.5 0.5 0.2 0.5\n", "val/a.png": "0 0.2 0.5 0.2 0.5\n", "val/b.png": ""}
    file = write_set(tmp_path / "set", rows, "train: images/train\nval: images/val\nnames: [x]\n", (50, 90))
    tile(file, tmp_path / "out", 64, 0.1)
    splits = load_splits(tmp_path / "out")
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 2, "val": 4}
    with (tmp_path / "out" / "tiles.csv").open(encoding="utf-8", newline="") as table:
        reader = csv.DictReader(table)
        rows = list(reader)
    assert reader.fieldnames[0] == "tile", "whoever looks up a tile's image looks for its name in the first column"
    assert [row["image"] for row in rows] == ["images/train/a.png"] * 2 + ["images/val/a.png"] * 2 + [
        "images/val/b.png"
    ] * 2
    for row in rows:
        with Image.open(tmp_path / "set" / row["image"]) as whole:
            part = np.asarray(whole)[int(row["top"]) : int(row["bottom"]), int(row["left"]) : int(row["right"])]
        dataset = splits[row["split"]]
        index = next(i for i in range(len(dataset)) if dataset.path(i).name == row["tile"])
        assert (dataset.image(index) == part).all()


def test_a_box_that_is_whole_in_a_tile_is_not_cut(tmp_path):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (40, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(1, 10, (40, 2))], 1)  # no whole pixels
    dataset = in_memory([photograph(60, 60)], [Target(boxes, [0] * 40)])
    report = tile(dataset, tmp_path / "out", 64, min_visible=1)
    assert (report.cut, report.dropped, report.unseen, report.boxes) == (0, 0, 0, {"train": 40})


def test_objects_in_no_tile_are_counted(tmp_path):
    dataset = in_memory([photograph(64, 640)], [Target([[0, 0, 640, 64]], [0])])
    report = tile(dataset, tmp_path / "out", 64)
    assert report.unseen == 1 and "1 objects are in no tile" in str(report)
    with pytest.raises(UserError, match="min_visible is 0"):
        tile(dataset, tmp_path / "other", 64, min_visible=0)


def test_the_command_line(tmp_path, capsys):
    file = write_set(tmp_path / "set", {"a.png": "0 0.5 0.5 0.2 0.5\n"}, "train: images\nnames: [x]\n", (50, 90))
    command = ["data", "tile", str(file), "--size", "64", "--overlap", "0.3", "--out", str(tmp_path / "out")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(command) == 0
    assert "train 1 images in 2 tiles, 2 boxes" in capsys.readouterr().out
    assert main([*command, "--min-visible", "2"]) == 2


def test_what_yolo_cannot_hold_is_counted_and_told(tmp_path):
    images = [(1, "a.png", 60, 100)]
    boxes = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 9, 9], "segmentation": [[5, 5, 14, 5, 9, 14]]},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 99, 50], "iscrowd": 1},
    ]
    draw(tmp_path / "set" / "a.png")
    file = write(tmp_path / "set" / "a.json", coco_text(images, [], {1: "x"}, annotations=boxes))
    report = tile(file, tmp_path / "out", 64)
    assert report.lost == {CROWD: 1, POLYGON: 1} and report.unseen == 0
    assert "1 crowd regions are left out" in str(report) and "1 outlines (polygons or masks) become" in str(report)


def test_an_image_that_cannot_be_decoded_is_left_out_and_named(tmp_path):
    file = write_set(tmp_path / "set", dict.fromkeys(["a.png", "b.png"], "0 0.5 0.5 0.2 0.5\n"), SPEC, (50, 90))
    dataset = load_dataset(file)
    broken = tmp_path / "set" / "images" / "b.png"
    broken.write_bytes(broken.read_bytes()[:200])  # after the scan, as a file that the scan does not see through
    report = tile(dataset, tmp_path / "out", 64)
    assert (report.images, report.tiles) == ({"train": 1}, {"train": 2}) and not dataset.health.issues
    assert "left out, train: images/b.png: it is damaged or truncated" in str(report)
    assert [path.name for path in (tmp_path / "out" / "images" / "train").iterdir() if "b_" in path.name] == []
    with pytest.raises(UserError, match="No image can be decoded: left out, train: images/b.png"):
        tile(dataset.subset([1]), tmp_path / "none", 64)
    assert not (tmp_path / "none").exists()
