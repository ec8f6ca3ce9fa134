"""YOLO folders as CVAT and Label Studio export them, with their images and without."""

from __future__ import annotations

import shutil

import pytest
from annotation_sets import boxes_of, draw, write

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import load_dataset, load_splits

ROW = "1 0.5 0.5 0.2 0.5\n"  # of 100 x 60 pixels: from 40, 15 to 60, 45
BOX = [("dog", 40, 15, 60, 45)]


def cvat_yolo(folder):
    """CVAT, "YOLO 1.1": the lists put data/ before paths, though the archive holds no such folder."""
    write(folder / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    write(folder / "obj.names", "cat\ndog\n")
    write(folder / "train.txt", "data/obj_train_data/a b.png\ndata/obj_train_data/sub/c.png\n")
    for stem in ("a b", "sub/c"):
        write(folder / "obj_train_data" / f"{stem}.txt", ROW)
        draw(folder / "obj_train_data" / f"{stem}.png")
    return folder


def label_studio_yolo(folder):
    """Label Studio, "YOLO with Images"."""
    write(folder / "classes.txt", "cat\ndog")
    write(folder / "notes.json", '{"categories": [{"id": 0, "name": "cat"}], "info": {"contributor": "Label Studio"}}')
    write(folder / "labels" / "3f2a1b0c-a b.txt", ROW)
    draw(folder / "images" / "3f2a1b0c-a b.png")
    return folder


@pytest.mark.parametrize("text", ["", "names = obj.names\n", "train = train.txt\nnames = gone.names\n"])
def test_an_empty_or_broken_description_names_the_mend(tmp_path, text):
    write(tmp_path / "obj.data", text), write(tmp_path / "obj.names", "x")
    with pytest.raises(UserError, match="add a line|gone.names is missing"):
        load_dataset(tmp_path)


def test_an_empty_list_of_classes(tmp_path):
    write(tmp_path / "classes.txt", "\n"), (tmp_path / "labels").mkdir()
    with pytest.raises(UserError, match="holds no class: write one name per line"):
        load_dataset(tmp_path)


def test_cvat_yolo_1_1(tmp_path):
    folder = cvat_yolo(tmp_path / "task")
    for data in (folder, folder / "obj.data"):
        dataset = load_dataset(data)
        assert dataset.keys == ["obj_train_data/a b.png", "obj_train_data/sub/c.png"] and dataset.name == "task"
        assert dataset.names == {0: "cat", 1: "dog"} and not dataset.health.issues
        assert [boxes_of(dataset, i) for i in range(2)] == [BOX, BOX]


def test_cvat_yolo_1_1_with_subsets(tmp_path):
    folder = cvat_yolo(tmp_path)
    write(folder / "obj.data", "Train = data/Train.txt\nValidation = data/Validation.txt\nnames = data/obj.names\n")
    (folder / "train.txt").unlink()
    write(folder / "Train.txt", "data/obj_train_data/a b.png\n")
    write(folder / "Validation.txt", "data/obj_train_data/sub/c.png\n")
    splits = load_splits(folder)
    assert {name: dataset.keys for name, dataset in splits.items()} == {
        "train": ["obj_train_data/a b.png"],
        "val": ["obj_train_data/sub/c.png"],
    }


def test_cvat_yolo_1_1_without_images(tmp_path):
    """CVAT exports labels alone unless "Save images" is on."""
    folder = cvat_yolo(tmp_path / "task")
    shutil.move(folder / "obj_train_data" / "a b.png", draw(tmp_path / "pictures" / "x.png").parent)
    draw(tmp_path / "pictures" / "sub" / "c.png").rename(tmp_path / "pictures" / "sub" / "c.jpg")
    (folder / "obj_train_data" / "sub" / "c.png").unlink()
    with pytest.raises(UserError, match="pass images=FOLDER"):
        load_dataset(folder)
    dataset = load_dataset(folder, images=tmp_path / "pictures")
    assert dataset.keys == ["a b.png", "sub/c.jpg"]
    assert [boxes_of(dataset, i) for i in range(2)] == [BOX, BOX] and not dataset.health.issues


def test_cvat_ultralytics_yolo(tmp_path):
    """CVAT, "Ultralytics YOLO Detection": data.yaml with a list, and paths with or without data/."""
    write(tmp_path / "data.yaml", "names:\n  0: cat\n  1: dog\npath: .\ntrain: train.txt\n")
    write(tmp_path / "train.txt", "data/images/train/a.png\nimages/train/b.png\n")
    for stem in "ab":
        write(tmp_path / "labels" / "train" / f"{stem}.txt", ROW)
        draw(tmp_path / "images" / "train" / f"{stem}.png")
    dataset = load_dataset(tmp_path)
    assert dataset.keys == ["images/train/a.png", "images/train/b.png"] and not dataset.health.issues
    assert [boxes_of(dataset, i) for i in range(2)] == [BOX, BOX]


def test_label_studio_yolo(tmp_path):
    dataset = load_dataset(label_studio_yolo(tmp_path / "project-1"))
    assert dataset.keys == ["images/3f2a1b0c-a b.png"] and boxes_of(dataset) == BOX
    assert dataset.names == {0: "cat", 1: "dog"} and dataset.name == "project-1" and not dataset.health.issues


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_label_studio_yolo_without_images(tmp_path, left):
    folder = label_studio_yolo(tmp_path / "project")
    (folder / "images").rename(tmp_path / "pictures")
    draw(tmp_path / "pictures" / "never labelled.png")
    if left != "nothing":
        (folder / "images").mkdir()
    with pytest.raises(UserError, match="('train: images' does not exist|'train' holds no image).*pass images=FOLDER"):
        load_dataset(folder)
    dataset = load_dataset(folder, images=tmp_path / "pictures")
    assert dataset.keys == ["3f2a1b0c-a b.png"] and boxes_of(dataset) == BOX


def test_images_elsewhere_for_a_data_yaml_with_folders(tmp_path):
    write(tmp_path / "set" / "data.yaml", "train: images/train\nval: images/val\nnames: [cat, dog]\n")
    for split in ("train", "val"):
        write(tmp_path / "set" / "labels" / split / f"{split}.txt", ROW)
        draw(tmp_path / "all" / f"{split}.png")
    splits = load_splits(tmp_path / "set", images=tmp_path / "all")
    assert {name: dataset.keys for name, dataset in splits.items()} == {"train": ["train.png"], "val": ["val.png"]}
    assert boxes_of(splits["val"]) == BOX
