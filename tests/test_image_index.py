"""Which image an annotation means."""

from __future__ import annotations

import pytest
from annotation_sets import draw, write

from yolo_ft.data.formats.image_index import ImageIndex


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


def test_earlier_folders_come_first(tmp_path):
    draw(tmp_path / "one" / "a.png"), draw(tmp_path / "two" / "a.png"), draw(tmp_path / "two" / "b.png")
    index = ImageIndex([tmp_path / "two", tmp_path / "one", tmp_path / "two"])
    assert index.find("a.png") == tmp_path / "two" / "a.png" and index.find("a") == tmp_path / "two" / "a.png"
    assert index.stems() == ["a", "b"] and len(index.folders) == 2
