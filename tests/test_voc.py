"""Pascal VOC folders, as the devkit and as other tools write them."""

from __future__ import annotations

import shutil

import pytest
from annotation_sets import boxes_of, differences, draw, reasons, voc_xml, write, write_voc_set
from picture_sets import fingerprint
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import load_dataset, load_splits
from yolo_ft.data.formats.voc import read_voc, read_xml
from yolo_ft.data.health import BACKGROUND, DROPPED, IGNORED, ROW_REMOVED

GOOD = voc_xml("a.png", [("dog", 11, 21, 30, 40)])


def test_a_folder_without_any_annotation_says_what_belongs_there(tmp_path):
    with pytest.raises(UserError, match="holds no XML file in 'Annotations'"):
        read_voc(tmp_path)
    (tmp_path / "VOC2007" / "Annotations").mkdir(parents=True)
    with pytest.raises(UserError, match="below it are the VOC folders VOC2007: pass one of these"):
        load_dataset(tmp_path)


def test_boxes_classes_and_splits_of_the_devkit(tmp_path):
    two = voc_xml("b.png", [("cat", 1, 1, 100, 60), ("Ziege ü", 5, 6, 5, 6)])
    lists = {"train.txt": "a.PNG\n", "val.txt": "b \n\n", "trainval.txt": "a\nb\n", "dog_train.txt": "a  1\n"}
    folder = write_voc_set(tmp_path / "VOC", {"a": GOOD, "b": two, "c": GOOD}, lists)
    splits = load_splits(folder)
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 1, "val": 1}
    assert splits["train"].names == splits["val"].names == {0: "Ziege ü", 1: "cat", 2: "dog"}
    # pixel 11 to pixel 30, counted from 1, both included: from 10 to 30
    assert boxes_of(splits["train"]) == [("dog", 10, 20, 30, 40)]
    assert boxes_of(splits["val"]) == [("cat", 0, 0, 100, 60), ("Ziege ü", 4, 5, 5, 6)]
    assert splits["train"].keys == ["JPEGImages/a.png"] and splits["train"].name == "VOC"
    unlisted = "1 annotated images, such as 'c', are in no list and not used"
    assert [(issue.file, issue.reason) for issue in splits["train"].health.issues] == [("ImageSets/Main", unlisted)]
    assert not splits["val"].health.issues
    with pytest.raises(UserError, match=r"no 'test:' entry \(it has train, val\)"):
        load_dataset(folder, "test")


def test_origin_zero_takes_coordinates_as_they_are(tmp_path):
    folder = write_voc_set(tmp_path, {"a": voc_xml("a.png", [("x", 0, 2, 8, 9.5), ("x", 5, 6, 5, 6)])})
    with pytest.warns(UserWarning, match="1 × row removed"):
        dataset = load_dataset(folder, origin=0)
    assert boxes_of(dataset) == [("x", 0, 2, 8, 9.5)]
    assert "object 2, x: the box at 5, 6 has no width or height" in dataset.health.summary()
    dataset = load_splits(folder)["train"]
    assert "1 boxes begin at 0, but pixels are counted from 1 here" in dataset.health.summary()
    assert boxes_of(dataset) == [("x", 0, 1, 8, 9.5), ("x", 4, 5, 5, 6)]
    with pytest.raises(UserError, match="number 0 or 1"):
        load_dataset(folder, origin=2)


@pytest.mark.parametrize(
    ("text", "action", "reason"),
    [
        (voc_xml("a.png", [("x", 1, 1, 9, 9)], size=(100, 60)), DROPPED, "annotated at 60 x 100 pixels.*EXIF"),
        (voc_xml("a.png", [("x", 1, 1, 9, 9)], size=(120, 200)), DROPPED, "annotated at 200 x 120.*has 100 x 60"),
        (voc_xml("a.png", [("x", 9, 1, 3, 9)]), DROPPED, "ends before it begins"),
        (voc_xml("a.png", [("x", "nan", 1, 3, 9)]), DROPPED, "NaN"),
        (voc_xml("a.png", [], size=("1e999", 5)), DROPPED, "XML file cannot be used"),
        (voc_xml("a.png", [("x", "one", 1, 3, 9)]), DROPPED, "could not convert"),
        (voc_xml("a.png", [("", 1, 1, 3, 9)]), DROPPED, "no <name>"),
        (GOOD.replace("ymax", "ymaks"), DROPPED, "no <bndbox> with"),
        (GOOD.replace("</annotation>", ""), DROPPED, "XML file cannot be used"),
        (voc_xml("a.png", [("x", 101, 1, 120, 9)]), ROW_REMOVED, "outside the image of 100 x 60"),
        (voc_xml("a.png", [("x", 2, 2, 9, 9)] * 2), ROW_REMOVED, "the same object again"),
        (voc_xml("a.png", []), BACKGROUND, "no object is annotated"),
        (voc_xml("a.png", [("x", 2, 2, 9, 9)], extra="<difficult>1</difficult>"), IGNORED, "'difficult' of 1 objects"),
    ],
)
def test_bad_annotations_are_found_by_the_health_rules(tmp_path, text, action, reason):
    folder = write_voc_set(tmp_path, {"a": text, "b": GOOD.replace("a.png", "b.png")})
    dataset = load_splits(folder)["train"]
    assert reasons(dataset) == {action: 1}
    with pytest.warns(UserWarning, match=reason):
        load_dataset(folder)
    assert len(dataset) == (1 if action == DROPPED else 2)


def test_a_size_that_is_missing_or_zero_is_no_finding(tmp_path):
    texts = {
        stem: voc_xml(f"{stem}.png", [("x", 91, 51, 100, 60)], size) for stem, size in {"a": None, "b": (0, 0)}.items()
    }
    dataset = load_dataset(write_voc_set(tmp_path, texts))
    assert [boxes_of(dataset, i) for i in range(2)] == [[("x", 90, 50, 100, 60)]] * 2


@pytest.mark.parametrize(("xmax", "said"), [(101, None), (102, "2"), (140, "40")])
def test_boxes_are_cut_at_the_edge_and_from_a_pixel_on_it_is_said(tmp_path, xmax, said):
    dataset = load_splits(write_voc_set(tmp_path, {"a": voc_xml("a.png", [("x", 91, 51, xmax, 60)])}))["train"]
    assert boxes_of(dataset) == [("x", 90, 50, 100, 60)]
    sentence = f"object 1, x: {said} pixels of the box lie over the edge of the image"
    assert [(issue.reason, issue.action) for issue in dataset.health.issues] == (
        [(sentence, "box cut")] if said else []
    )


def test_flags_of_the_devkits_lists_are_no_part_of_the_names(tmp_path):
    """-1, 0 and 1 say whether an image shows a class; every image of the split is listed with one of them."""
    names = ("a", "b", "c 1", "d.e", "f 1")
    lists = {"train.txt": "a  1\nb -1\nc 1\nd.e.png 0\ngone -1\nf 1\n"}
    folder = write_voc_set(tmp_path, {name: GOOD.replace("a.png", f"{name}.png") for name in names}, lists)
    (folder / "Annotations" / "f 1.xml").unlink()  # an image without annotations, called like a name with a flag
    dataset = load_splits(folder)["train"]
    assert dataset.keys == [f"JPEGImages/{name}.png" for name in names]
    assert [len(dataset.target(i)) for i in range(5)] == [1, 1, 1, 1, 0]
    assert "there is no image 'gone' for it" in dataset.health.summary()
    assert reasons(dataset) == {DROPPED: 1, BACKGROUND: 1}


def test_missing_images_and_annotations(tmp_path):
    lists = {"train.txt": "a\nb\ngone\n"}
    folder = write_voc_set(tmp_path, {"a": GOOD, "b": GOOD}, lists)
    (folder / "Annotations" / "b.xml").unlink()
    dataset = load_splits(folder)["train"]
    found = {issue.file: (issue.reason, issue.action) for issue in dataset.health.issues}
    assert found == {
        "JPEGImages/b.png": ("no annotation file b.xml", BACKGROUND),
        "Annotations/gone.xml": ("there is no image 'gone' for it", DROPPED),
    }
    assert dataset.health.background == 1


def test_images_elsewhere(tmp_path):
    folder = write_voc_set(tmp_path / "voc", {"a": GOOD})
    (folder / "JPEGImages").rename(tmp_path / "pictures")
    with pytest.raises(UserError, match="if the images lie elsewhere, pass images=FOLDER"):
        load_dataset(folder)
    dataset = load_dataset(folder, images=tmp_path / "pictures")
    assert dataset.keys == ["a.png"] and dataset.path(0) == tmp_path / "pictures" / "a.png"
    with pytest.raises(UserError, match="is no folder"):
        load_dataset(folder, images=tmp_path / "nowhere")


def test_entities_and_document_types_are_refused_before_they_are_read(tmp_path):
    secret = write(tmp_path / "secret.txt", "password")
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    for text in (
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}">]><annotation><filename>&e;</filename></annotation>',
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><annotation>&a11;</annotation>',
    ):
        file = read_xml(write(tmp_path / "a.xml", text))
        assert "document type" in file.problem and not file.filename
    (tmp_path / "b.xml").write_bytes(GOOD.encode("utf-16"))
    assert "8-bit encoding" in read_xml(tmp_path / "b.xml").problem
    (tmp_path / "c.xml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert not read_xml(tmp_path / "c.xml").problem


def test_a_photograph_that_exif_turns_is_never_taught_with_boxes_of_the_unturned_one(tmp_path):
    folder = write_voc_set(tmp_path, {"a": voc_xml("a.jpg", [("x", 1, 1, 9, 9)])})
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(folder / "JPEGImages" / "a.png") as image:
        image.save(folder / "JPEGImages" / "a.jpg", exif=exif)
    (folder / "JPEGImages" / "a.png").unlink()
    issues = load_splits(folder)["train"].health.issues
    assert [issue.action for issue in issues] == [DROPPED] and "save it upright" in issues[0].reason


def test_the_export_of_cvat(tmp_path):
    """CVAT, "PASCAL VOC 1.1": default.txt, quoted names, a colour map of labels, fractions of pixels."""
    extra = "<occluded>0</occluded><truncated>0</truncated><difficult>0</difficult>"
    text = voc_xml("shelf 1/a b.png", [("Box", 0.5, 3.0, 20.25, 30.0)], extra=extra)
    folder = write_voc_set(tmp_path, {}, {"default.txt": '"shelf 1/a b"\n', "Box_default.txt": '"shelf 1/a b"  1\n'})
    write(folder / "Annotations" / "shelf 1" / "a b.xml", text)
    draw(folder / "JPEGImages" / "shelf 1" / "a b.png")
    labels = "# label:color_rgb:parts:actions\nTin:250,50,83::\nBox:51,221,255::\nbackground:0,0,0::\n"
    write(folder / "labelmap.txt", labels)
    dataset = load_dataset(folder, origin=0)
    assert dataset.names == {0: "Tin", 1: "Box"} and dataset.keys == ["JPEGImages/shelf 1/a b.png"]
    assert boxes_of(dataset) == [("Box", 0.5, 3, 20.25, 30)] and not dataset.health.issues


def test_the_export_of_label_studio(tmp_path):
    """Label Studio, "Pascal VOC XML": `images` instead of `JPEGImages`, no lists."""
    folder = write_voc_set(tmp_path, {"3f2a-a": GOOD.replace("a.png", "3f2a-a.png")})
    (folder / "JPEGImages").rename(folder / "images")
    dataset = load_dataset(folder)
    assert dataset.keys == ["images/3f2a-a.png"] and boxes_of(dataset) == [("dog", 10, 20, 30, 40)]


def test_the_export_of_roboflow(tmp_path):
    """Roboflow, "Pascal VOC XML": images and XML files side by side in one folder per split."""
    for split, name in {"train": "dog", "valid": "cat"}.items():
        write(tmp_path / split / "a.xml", voc_xml("a.png", [(name, 2, 2, 9, 9)]))
        draw(tmp_path / split / "a.png", seed=len(name))
    splits = load_splits(tmp_path)
    assert {split: dataset.keys for split, dataset in splits.items()} == {
        "train": ["train/a.png"],
        "val": ["valid/a.png"],
    }
    assert boxes_of(splits["val"]) == [("cat", 1, 1, 9, 9)] and splits["val"].names == {0: "cat", 1: "dog"}


def test_bccd_equals_its_yolo_twin_but_for_two_boxes_without_size(real_data):
    """Its boxes count from 0: with origin=0 every other box agrees, with the devkit's origin=1 none does."""
    one = load_splits(real_data / "bccd_voc", images=real_data / "bccd" / "images", origin=0)
    twin = load_splits(real_data / "bccd")
    assert differences(one, twin) == {}
    named = [f"{split}: {issue}" for split, dataset in one.items() for issue in dataset.health.issues]
    assert named == [
        "train: Annotations/BloodImage_00343.xml: object 4, RBC: the box at 181, 329 has no width or height "
        "(row removed)",
        "val: Annotations/BloodImage_00338.xml: object 13, RBC: the box at 504, 337 has no width or height "
        "(row removed)",
    ]
    assert [len(dataset) for dataset in one.values()] == [205, 87, 72]
    assert not any(dataset.health.issues for dataset in twin.values())
    shifted = load_dataset(real_data / "bccd_voc", "test", images=real_data / "bccd" / "images")
    assert len(differences({"test": shifted}, {"test": twin["test"]})) == 72


def test_nothing_in_the_folder_changes(tmp_path):
    folder = write_voc_set(tmp_path / "set", {"a": GOOD}, {"train.txt": "a"})
    shutil.copy(folder / "JPEGImages" / "a.png", folder / "a.png")
    before = fingerprint(folder)
    assert load_dataset(folder).digest
    assert fingerprint(folder) == before


def test_annotations_in_one_folder_and_images_in_several_below_theirs(tmp_path):
    folder = write_voc_set(tmp_path, {"a": GOOD, "b": GOOD.replace("a.png", "b.png")})
    for name, place in {"a": "one", "b": "two"}.items():
        (folder / "JPEGImages" / place).mkdir()
        (folder / "JPEGImages" / f"{name}.png").rename(folder / "JPEGImages" / place / f"{name}.png")
    draw(folder / "JPEGImages" / "two" / "unlabelled.png", seed=5)
    dataset = load_splits(folder)["train"]
    assert dataset.keys == [f"JPEGImages/{name}.png" for name in ("one/a", "two/b", "two/unlabelled")]
    assert [len(boxes_of(dataset, i)) for i in range(3)] == [1, 1, 0] and reasons(dataset) == {BACKGROUND: 1}


def test_a_file_name_longer_than_any_is_no_failure(tmp_path):
    long = "x" * 300
    folder = write_voc_set(tmp_path, {"a": GOOD}, {"train.txt": f"a\n{long}\n"})
    assert reasons(load_splits(folder)["train"]) == {DROPPED: 1}
    (folder / "ImageSets" / "Main" / "train.txt").unlink()
    write(folder / "Annotations" / "b.xml", voc_xml(f"b.{long}", [("x", 2, 2, 9, 9)]))
    assert reasons(load_splits(folder)["train"]) == {DROPPED: 1}
