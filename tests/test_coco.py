"""COCO files, as the original and as other tools write and lay them out."""

from __future__ import annotations

import json

import pytest
from annotation_sets import boxes_of, coco_text, differences, draw, reasons, write

from yolo_ft.core.errors import UserError
from yolo_ft.data.checks.check import check
from yolo_ft.data.checks.findings import OVER_EDGE
from yolo_ft.data.dataset import load_dataset, load_splits
from yolo_ft.data.formats.coco import coco_files, split_files, split_of
from yolo_ft.data.health import BACKGROUND, DROPPED, IGNORED, ROW_REMOVED

IMAGE = (7, "a.png", 60, 100)


def one_file(folder, boxes, names=None, images=(IMAGE,), /, **more):
    """A folder with `_annotations.coco.json` beside its images."""
    for i, (_, name, *_) in enumerate(images):
        draw(folder / name, seed=i)
    return write(folder / "_annotations.coco.json", coco_text(images, boxes, names or {1: "x"}, **more))


def test_a_file_without_images_is_an_error_with_the_mend(tmp_path):
    file = write(tmp_path / "instances_train.json", coco_text([], [], {1: "x"}))
    with pytest.raises(UserError, match="the split 'train' holds no image.*pass images=FOLDER"):
        load_dataset(file)


def test_classes_follow_the_ids_whatever_their_gaps(tmp_path):
    categories = {90: "toothbrush", 3: "car", 18: "dog"}
    file = one_file(tmp_path, [(7, 90, [1.5, 2, 10.25, 20]), (7, 3, [0, 0, 100, 60])], categories)
    for data in (file, str(file), tmp_path):
        dataset = load_dataset(data)
        assert dataset.names == {0: "car", 1: "dog", 2: "toothbrush"}
        assert boxes_of(dataset) == [("toothbrush", 1.5, 2, 11.75, 22), ("car", 0, 0, 100, 60)]
        assert dataset.keys == ["a.png"] and dataset.name == tmp_path.name and not dataset.health.issues


@pytest.mark.parametrize(
    ("annotation", "action", "reason"),
    [
        ({"bbox": [5, 5, 0, 9]}, ROW_REMOVED, "annotation 1, x: the box at 5, 5 has no width or height"),
        ({"bbox": [5, 5, -2, 9]}, DROPPED, "ends before it begins"),
        ({"bbox": [5, 5, float("nan"), 9]}, DROPPED, "NaN or infinity"),
        ({"bbox": [5, 5, 9]}, DROPPED, "no 'bbox' of four numbers"),
        ({"bbox": None}, DROPPED, "no 'bbox' of four numbers"),
        ({"bbox": [200, 5, 9, 9]}, ROW_REMOVED, "lies outside"),
        ({"bbox": [1, 1, 9, 9], "category_id": "5"}, DROPPED, "category '5' is not in the file's list"),
        ({"bbox": [1, 1, 9, 9], "iscrowd": 1}, IGNORED, "a crowd region"),
        ({"bbox": [1, 1, 9, 9], "category_id": 5}, DROPPED, "category 5 is not in the file's list"),
        ({"bbox": [1, 1, 9, 9], "image_id": "70"}, ROW_REMOVED, "1 boxes belong to image '70'"),
        ({"bbox": [10**400, 1, 9, 9]}, DROPPED, "no 'bbox' of four numbers"),
    ],
)
def test_bad_annotations_are_found_by_the_health_rules(tmp_path, annotation, action, reason):
    good = {"id": 2, "image_id": 8, "category_id": 1, "bbox": [1, 1, 5, 5]}
    annotation = {"id": 1, "image_id": 7, "category_id": 1, **annotation}
    content = json.loads(coco_text([IMAGE, (8, "b.png", 60, 100)], [], {1: "x"}))
    content["annotations"] = [good, annotation]
    draw(tmp_path / "a.png"), draw(tmp_path / "b.png")
    dataset = load_splits(write(tmp_path / "x.json", json.dumps(content)))["train"]
    found = [issue for issue in dataset.health.issues if issue.action != BACKGROUND]
    assert [issue.action for issue in found] == [action] and reason in found[0].reason
    assert len(dataset) == (1 if action == DROPPED else 2) and dataset.health.objects == 1


def test_a_crowd_region_is_no_object_and_an_outline_without_box_is_one(tmp_path):
    more = {
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "segmentation": [[10, 5, 30, 5, 20, 40], [12, 1, 13, 2]]},
            {
                "id": 2,
                "image_id": 7,
                "category_id": 1,
                "bbox": [0, 0, 50, 50],
                "iscrowd": 1,
                "segmentation": {"counts": []},
            },
        ]
    }
    dataset = load_splits(one_file(tmp_path, [], **more))["train"]
    assert boxes_of(dataset) == [("x", 10, 1, 30, 40)] and reasons(dataset) == {IGNORED: 1}


def test_only_a_parent_without_boxes_is_left_out_of_the_classes(tmp_path):
    categories = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "animals"},
        {"id": 2, "name": "rare", "supercategory": "animals"},
    ]
    dataset = load_splits(one_file(tmp_path, [(7, 1, [1, 1, 5, 5])], categories=categories))["train"]
    assert dataset.names == {0: "cat", 1: "rare"}
    assert "'animals': the category has no box and only groups others" in dataset.health.summary()
    dataset = load_splits(one_file(tmp_path, [(7, 0, [1, 1, 5, 5])], categories=categories))["train"]
    assert dataset.names[0] == "animals" and not dataset.health.issues


def test_sizes_images_and_names_that_do_not_fit(tmp_path):
    images = [(1, "a.png", 100, 60), (2, "gone.png", 60, 100), (3, "b.png", None, None), (3, "b.png", 60, 100)]
    draw(tmp_path / "a.png"), draw(tmp_path / "b.png")
    file = write(tmp_path / "x.json", coco_text(images, [(3, 1, [1, 1, 5, 5])], {1: "x"}))
    dataset = load_splits(file)["train"]
    found = {(issue.file, issue.action) for issue in dataset.health.issues}
    assert found == {("a.png", DROPPED), ("gone.png", DROPPED), ("b.png", IGNORED)}
    assert dataset.keys == ["b.png"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not valid JSON"),
        ("[1]", "no COCO file of boxes"),
        ('{"images": [], "annotations": {}, "categories": []}', "no COCO file of boxes"),
        ('{"images": [], "annotations": [3], "categories": []}', "must be lists of objects"),
        (coco_text([], [], {1: "x", 2: "x"}), "categories 1 and 2 are both called 'x'"),
        ('{"images": [], "annotations": [], "categories": [{"id": "1", "name": "x"}]}', "no whole number as id"),
        ("[" * 100_000, "not valid JSON"),
        (coco_text([], [([1], 1, [1, 1, 5, 5])], {1: "x"}), "each 'image_id' in its annotations must be one number"),
        (coco_text([], [(1, [7], [1, 1, 5, 5])], {1: "x"}), "each 'category_id' in its annotations must be one number"),
        (coco_text([({}, "a.png", 60, 100)], [], {1: "x"}), "each 'id' in its images must be one number"),
        (
            coco_text([], [], {}, categories=[{"id": 1, "name": "x", "supercategory": ["q"]}]),
            "each 'supercategory' in its categories must be one number or text",
        ),
        (
            coco_text([], [], {}, categories=[{"id": 1, "name": "x"}, {"id": 1, "name": "y"}]),
            "two categories have the id 1, one is 'y': give each its own",
        ),
    ],
)
def test_files_that_are_no_coco_file(tmp_path, text, sentence):
    with pytest.raises(UserError, match=sentence):
        load_dataset(write(tmp_path / "x.json", text))


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("annotations/instances_val2017.json", "val"),
        ("annotations/instances_train2014.json", "train"),
        ("annotations/instances_default.json", "train"),
        ("annotations/instances_Validation.json", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("test/_annotations.coco.json", "test"),
        ("export/result.json", "train"),
        ("latest/evaluation.json", "train"),
        ("my test set/boxes.json", "train"),
    ],
)
def test_what_split_a_file_is(tmp_path, file, split):
    assert split_of(tmp_path / "x" / file) == split


@pytest.mark.parametrize(
    ("files", "pictures"),
    [
        (["annotations/instances_train2017.json", "annotations/instances_val2017.json"], ["train2017", "val2017"]),
        (
            ["annotations/instances_train2017.json", "annotations/instances_val2017.json"],
            ["images/train2017", "images/val2017"],
        ),
        (
            ["annotations/instances_Train.json", "annotations/instances_Validation.json"],
            ["images/Train", "images/Validation"],
        ),
        (["annotations/instances_train.json", "annotations/instances_val.json"], ["images/train", "images/val"]),
        (["train/_annotations.coco.json", "valid/_annotations.coco.json"], ["train", "valid"]),
        (["train.json", "val.json"], ["images/train", "images/val"]),
    ],
)
def test_the_layouts_of_coco_cvat_and_roboflow(tmp_path, files, pictures):
    """Both splits have an image of the same name, and each must find its own."""
    for number, (file, place) in enumerate(zip(files, pictures, strict=True)):
        draw(tmp_path / place / "1.png", (60, 100 + number))
        boxes = [(1, 5 + number, [1, 1, 9, 9])]
        write(tmp_path / file, coco_text([(1, "1.png", 60, 100 + number)], boxes, {5: "x", 6: "y"}))
    write(tmp_path / "annotations" / "captions_val2017.json", "{}") if "annotations" in files[0] else None
    splits = load_splits(tmp_path)
    assert {name: dataset.keys for name, dataset in splits.items()} == {
        "train": [f"{pictures[0]}/1.png"],
        "val": [f"{pictures[1]}/1.png"],
    }
    assert boxes_of(splits["val"]) == [("y", 1, 1, 10, 10)] and splits["val"].names == {0: "x", 1: "y"}
    assert len(coco_files(tmp_path) or split_files(tmp_path)) == 2
    assert list(load_splits(tmp_path / files[1])) == ["val"]
    with pytest.raises(UserError, match=r"no 'train:' entry \(it has val\)"):
        load_dataset(tmp_path / files[1])


@pytest.mark.parametrize(
    "name",
    [
        "images/3f-a b.png",
        r"images\3f-a b.png",
        "../../media/upload/1/3f-a b.png",
        "3f-a%20b.png",
        "/data/local-files/?d=here/3f-a b.png",
    ],
)
def test_the_export_of_label_studio(tmp_path, name):
    """Label Studio, "COCO": result.json and images; ids from 0, and paths of the machine that it ran on."""
    draw(tmp_path / "images" / "3f-a b.png")
    categories = {0: "Car", 1: "Person"}
    write(tmp_path / "result.json", coco_text([(0, name, 60, 100)], [(0, 1, [10.5, 5, 20, 30])], categories))
    dataset = load_dataset(tmp_path)
    assert dataset.keys == ["images/3f-a b.png"] and boxes_of(dataset) == [("Person", 10.5, 5, 30.5, 35)]
    assert dataset.names == {0: "Car", 1: "Person"} and not dataset.health.issues


def test_two_files_of_one_split_are_not_mixed(tmp_path):
    for name in ("instances_train2014.json", "instances_train2017.json"):
        write(tmp_path / "annotations" / name, coco_text([], [], {1: "x"}))
    with pytest.raises(UserError, match="both look like 'train': pass the path of one"):
        load_dataset(tmp_path)


def test_mask_equals_its_yolo_twin_but_for_three_boxes_that_the_twin_dropped(real_data):
    one = load_splits(real_data / "mask_coco", images=real_data / "mask" / "images")
    twin = load_splits(real_data / "mask")
    assert len(one["train"]) == len(twin["train"]) + len(twin["val"]) == 848
    assert one["train"].names == twin["train"].names
    # boxes of 1 x 2 pixels, which whoever made the twin took for accidents
    assert differences(one, twin) == {
        "maksssksksss64_png.rf.40eb2c6ce06a3d3683ab1e870248d0aa.jpg": (
            [
                ("with_mask", 206.0, 37.0, 207.0, 39.0),
                ("with_mask", 225.0, 34.0, 226.0, 36.0),
                ("with_mask", 229.0, 35.0, 230.0, 37.0),
            ],
            [],
        )
    }
    assert [str(issue) for issue in one["train"].health.issues] == [
        "_annotations.coco.json: 'co': the category has no box and only groups others: it is no class here "
        "(passed over)"
    ]


def test_ids_that_one_list_quotes_and_the_other_does_not_are_the_same(tmp_path):
    for images, box in (([IMAGE], ("7", 1, [1, 1, 5, 5])), ([("7", *IMAGE[1:])], (7, 1, [1, 1, 5, 5]))):
        dataset = load_dataset(one_file(tmp_path, [box], None, images))
        assert boxes_of(dataset) == [("x", 1, 1, 6, 6)] and not dataset.health.issues


def test_a_category_id_in_quotes_is_the_same_id(tmp_path):
    dataset = load_dataset(one_file(tmp_path, [(7, "3", [1, 1, 5, 5]), (7, 1, [9, 9, 5, 5])], {3: "x", 1: "y"}))
    assert boxes_of(dataset) == [("x", 1, 1, 6, 6), ("y", 9, 9, 14, 14)] and not dataset.health.issues
    categories = [{"id": 0, "name": "all", "supercategory": ""}, {"id": 1, "name": "x", "supercategory": "all"}]
    used = load_dataset(one_file(tmp_path, [(7, "0", [1, 1, 5, 5])], categories=categories))
    assert used.names == {0: "all", 1: "x"}  # a parent with a box of its own is a class


def test_boxes_over_the_edge_are_cut_and_check_finds_them(tmp_path):
    boxes = [(7, 1, [80, 40, 50, 30]), (7, 1, [-60, 10, 90, 20]), (7, 1, [5, 5, 95.9, 20])]
    report = check(one_file(tmp_path, boxes))
    assert boxes_of(report.splits["train"]) == [("x", 80, 40, 100, 60), ("x", 0, 10, 30, 30), ("x", 5, 5, 100, 25)]
    assert [str(finding) for finding in report.of(OVER_EDGE)] == [
        "train a.png: annotation 10, x: 30 pixels of the box lie over the edge of the image",
        "train a.png: annotation 11, x: 60 pixels of the box lie over the edge of the image",
    ]


def test_a_file_whose_boxes_all_belong_to_no_image_is_refused(tmp_path):
    file = one_file(tmp_path, [(8, 1, [1, 1, 5, 5]), (9, 1, [1, 1, 5, 5])])
    with pytest.raises(UserError, match="no 'image_id' of its 2 annotations is the 'id' of one of its images"):
        load_dataset(file)


@pytest.mark.parametrize("side", [str, float, lambda side: f"{side}.0"])
def test_a_size_in_text_or_with_a_fraction_is_still_compared(tmp_path, side):
    wrong = (7, "a.png", side(120), side(200))
    dataset = load_splits(one_file(tmp_path, [(7, 1, [1, 1, 5, 5])], None, [wrong]))["train"]
    assert not len(dataset) and reasons(dataset) == {DROPPED: 1}
    file = one_file(tmp_path, [(7, 1, [1, 1, 5, 5])], None, [(7, "a.png", side(60), side(100))])
    assert len(load_dataset(file)) == 1


def test_two_entries_of_one_image_are_taken_together(tmp_path):
    images = [IMAGE, (8, "./a.png", 60, 100), (9, "gone.png", 60, 100), (10, "lost.png", 60, 100)]
    boxes = [(7, 1, [1, 1, 5, 5]), (8, 1, [9, 9, 5, 5])]
    file = one_file(tmp_path, boxes, None, images)
    for name in ("gone", "lost"):
        (tmp_path / f"{name}.png").unlink()
    dataset = load_splits(file)["train"]
    assert dataset.keys == ["a.png"] and boxes_of(dataset) == [("x", 1, 1, 6, 6), ("x", 9, 9, 14, 14)]
    assert reasons(dataset) == {IGNORED: 1, DROPPED: 2} and "lists this image twice" in dataset.health.summary()


@pytest.mark.parametrize(("value", "crowd"), [(1, True), ("1", True), ("0", False), (False, False), (None, False)])
def test_what_marks_a_crowd(tmp_path, value, crowd):
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5], "iscrowd": value}
    dataset = load_splits(one_file(tmp_path, [], annotations=[annotation]))["train"]
    assert dataset.health.objects == (0 if crowd else 1)
