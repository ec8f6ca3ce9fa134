"""What a file name tells about the images that belong together."""

from __future__ import annotations

import pytest

from yolo_ft.data.checks.groups import name_group

HASH = "3d546d69a4a203ce7ce04193ed0ec43d"


@pytest.mark.parametrize(
    ("key", "group"),
    [
        (f"train/images/shop12_png.rf.{HASH}.jpg", "shop12"),
        (f"valid/images/shop12_png.rf.{HASH[::-1]}.jpg", "shop12"),
        (f"images/clip_0012_jpg.rf.{HASH}.jpg", "clip"),  # a version of a frame belongs to the video
        (f"images/shop12.rf.{HASH}.jpg", "shop12"),
        ("images/shop12_aug3.jpg", "shop12"),
        ("images/train/field7__x0_y512.png", "field7"),
        ("images/clip_0012__x64_y0.png", "clip"),  # a tile of a frame belongs to the video, too
        ("/data/images/field7__x0_y512.png", "/data/field7"),
        ("images/clip_0012.jpg", "clip"),
        ("images/train/clip_0013.png", "clip"),
        ("images/cam-left_0012.jpg", "cam-left"),
        ("images/scene2_0012.jpg", "scene2"),
        ("images/street_frame_0012.jpg", "street"),
        ("images/street-f0012.jpg", "street"),
        ("images/dayride_type1_001.mp4#t=1086.jpg", "dayride_type1_001.mp4"),
        ("plant-a/images/frame_0001.jpg", "plant-a/frames"),
        ("images/frame0001.jpg", "frames"),
    ],
)
def test_names_that_tell_a_group(key, group):
    assert name_group(key) == group


@pytest.mark.parametrize(
    "key",
    [
        *("images/BloodImage_00012.jpg", "images/IMG_0012.jpg", "images/000000000139.jpg", "images/a.jpg"),
        *("images/00041001_test.jpg", "images/scene_0012.jpg", "images/leaf12.jpg", "images/clipper_0012.jpg"),
        *("images/videogame.jpg", "images/cam.jpg", "train/images/0001.jpg", "images/tif_12.jpg", "12.jpg"),
    ],
)
def test_a_number_alone_says_nothing(key):
    assert name_group(key) == key


def test_equal_numbers_in_two_splits_are_different_photographs():
    assert name_group("train/images/0001.jpg") != name_group("val/images/0001.jpg")
