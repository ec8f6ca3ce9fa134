"""Which image an annotation means."""

from __future__ import annotations

import pytest
from annotation_sets import coco_text, draw, reasons, write

from yolo_ft.data.dataset import load_splits
from yolo_ft.data.formats.image_index import ImageIndex
from yolo_ft.data.health import DROPPED


def test_no_folder_and_empty_folders_hold_nothing(tmp_path):
    for folders in ([], [tmp_path / "nowhere"], [tmp_path]):
        assert ImageIndex(folders).find("a.png") is None and ImageIndex(folders).stems() == []
    assert ImageIndex([tmp_path]).find("") is None


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a.png", "a.png"),
        ("sub/b.JPG", "sub/b.JPG"),
        (r"C:\data\sub\b.JPG", "sub/b.JPG"),
        ("/disk/photos/sub/b.JPG", "sub/b.JPG"),
        ("../sub/b.JPG", "sub/b.JPG"),
        ("b.JPG", "sub/b.JPG"),
        ("b", "sub/b.JPG"),
        ("b.png", "sub/b.JPG"),  # only one image has this stem
        ("x.mp4#t=1", "x.mp4#t=1.jpg"),
        ("sub/same", "sub/same.png"),
        ("deep/same.jpg", "deep/same.png"),
        ("same", None),  # which of two?
        ("notes.txt", None),
        ("../../secret/a.txt", None),
    ],
)
def test_names_with_folders_suffixes_and_other_machines_paths(tmp_path, name, place):
    for image in ("a.png", "sub/b.JPG", "x.mp4#t=1.jpg", "sub/same.png", "deep/same.png"):
        draw(tmp_path / image)
    write(tmp_path / "notes.txt", "no image")
    assert ImageIndex([tmp_path]).find(name) == (None if place is None else tmp_path / place)


def test_folders_that_are_left_out_are_searched_only_by_their_names(tmp_path):
    draw(tmp_path / "val" / "a.png"), draw(tmp_path / "value" / "b.png")
    index = ImageIndex([tmp_path], [tmp_path / "val"])
    assert index.find("a.png") is None and index.find("a") is None and index.stems() == ["value/b"]
    assert index.find("val/a.png") == tmp_path / "val" / "a.png" and index.find("b") == tmp_path / "value" / "b.png"


def test_earlier_folders_come_first(tmp_path):
    draw(tmp_path / "one" / "a.png"), draw(tmp_path / "two" / "a.png"), draw(tmp_path / "two" / "b.png")
    index = ImageIndex([tmp_path / "two", tmp_path / "one", tmp_path / "two"])
    assert index.find("a.png") == tmp_path / "two" / "a.png" and index.find("a") == tmp_path / "two" / "a.png"
    assert index.stems() == ["a", "b"] and len(index.folders) == 2


@pytest.mark.parametrize("place", ["{}", "images/{}", "{}2017"])
def test_an_image_that_is_gone_is_not_replaced_by_one_of_another_split(tmp_path, place):
    for split in ("train", "val"):
        images = [(1, "1.png", 60, 100), (2, "2.png", 60, 100)]
        boxes = [(1, 1, [1, 1, 9, 9]), (2, 1, [1, 1, 9, 9])]
        write(tmp_path / "annotations" / f"instances_{split}.json", coco_text(images, boxes, {1: "x"}))
        draw(tmp_path / place.format(split) / "1.png"), draw(tmp_path / place.format(split) / "2.png")
    (tmp_path / place.format("train") / "1.png").unlink()
    for data in (tmp_path, tmp_path / "annotations" / "instances_train.json"):
        dataset = load_splits(data)["train"]
        assert dataset.keys == [f"{place.format('train')}/2.png"] and reasons(dataset) == {DROPPED: 1}


def test_a_file_alone_finds_its_images_in_the_folder_of_any_split(tmp_path):
    draw(tmp_path / "train" / "a.png")
    write(
        tmp_path / "annotations" / "instances_val.json",
        coco_text([(7, "a.png", 60, 100)], [(7, 1, [1, 1, 9, 9])], {1: "x"}),
    )
    assert load_splits(tmp_path)["val"].keys == ["train/a.png"]


def test_a_file_name_longer_than_any_is_an_image_that_is_not_there(tmp_path):
    images = [(7, "a.png", 60, 100), (8, "x" * 300 + ".png", 60, 100)]
    draw(tmp_path / "a.png")
    dataset = load_splits(write(tmp_path / "x.json", coco_text(images, [(7, 1, [1, 1, 5, 5])], {1: "x"})))["train"]
    assert dataset.keys == ["a.png"] and reasons(dataset) == {DROPPED: 1}
