"""What a check finds about images, splits and classes: each finding on a set made for it, none on a clean one.

What it finds about two images is in `test_copies.py`.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from picture_sets import fingerprint, in_memory, photograph, write_set
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.check import check
from yolo_ft.data.checks.findings import KINDS, CheckReport

CAT, DOG = "0 0.5 0.5 0.4 0.4\n", "1 0.3 0.6 0.2 0.4\n"
BOTH = CAT + DOG
TWO_SPLITS = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
CLEAN = {f"{split}/{split[0]}{n}.png": BOTH for split in ("train", "val") for n in range(12)}


def two_splits(folder, changes=(), yaml_text=TWO_SPLITS):
    """A clean set of twelve images with a cat and a dog in each split, with some label files changed."""
    return write_set(folder, {**CLEAN, **dict(changes)}, yaml_text)


def found(report: CheckReport) -> dict[str, int]:
    return {kind.name: len(cases) for kind, cases in report.found()}


def test_a_clean_set_has_no_finding_and_stays_as_it_is(tmp_path):
    file = two_splits(tmp_path)
    before = fingerprint(tmp_path)
    report = check(file)
    assert report.findings == [] and report.errors == 0 and str(report).endswith("Nothing found.")
    assert fingerprint(tmp_path) == before


def test_an_empty_set(tmp_path):
    report = check(in_memory([], []))
    assert found(report)[kinds.EMPTY_SPLIT.name] == 1 and report.errors == 1


@pytest.mark.parametrize(
    ("empty", "kind"), [("train", kinds.EMPTY_SPLIT), ("val", kinds.EMPTY_SPLIT), ("test", kinds.NO_TEST)]
)
@pytest.mark.parametrize("as_list", [False, True])
def test_one_empty_split_is_one_finding_and_the_others_are_checked(tmp_path, empty, kind, as_list):
    """Neither does a class count as absent or unmeasured for it: that would say the same again, class by class."""
    place = f"{empty}.txt" if as_list else f"images/{empty}"
    splits = {split: f"images/{split}" for split in ("train", "val", "test")} | {empty: place}
    labels = {f"{split}/{split}{n}.png": BOTH for split in splits if split != empty for n in range(10)}
    file = write_set(tmp_path, labels, json.dumps({**splits, "names": ["cat", "dog"]}))
    (tmp_path / "images" / empty).mkdir()
    (tmp_path / f"{empty}.txt").write_text("\n", encoding="utf-8")
    before = fingerprint(tmp_path)
    report = check(file)
    assert found(report) == {kind.name: 1} and report.findings[0].split == empty
    assert report.errors == (kind is kinds.EMPTY_SPLIT) and fingerprint(tmp_path) == before
    assert report.counts() == {split: (0, 0) if split == empty else (10, 20) for split in splits}


def test_a_split_whose_images_are_all_broken_is_not_called_empty(tmp_path):
    file = write_set(tmp_path, {"train/t.png": BOTH, "val/v.png": BOTH}, TWO_SPLITS)
    (tmp_path / "images/val/v.png").write_bytes(b"")
    (case,) = check(file).of(kinds.EMPTY_SPLIT)
    assert case.split == "val" and case.reason.startswith("none of them can be used; if the images lie elsewhere")


def test_a_set_without_a_validation_split(tmp_path):
    """One split alone, as a data set in memory or to test on only, is somebody's choice."""
    images = {name: text for name, text in CLEAN.items() if name.startswith("train")}
    file = write_set(tmp_path, images, "train: images/train\nnames: [cat, dog]\n")
    report = check(file)
    assert found(report) == {"no validation split": 1} and report.errors == 0
    assert kinds.NO_VALIDATION.mend.startswith("yolo-ft data split")
    assert check(report.splits["train"]).findings == []
    file.write_text("test: images/train\nnames: [cat, dog]\n", encoding="utf-8")
    assert check(file).findings == []


def test_the_order_is_by_harm_and_errors_come_before_notes():
    levels = [kind.level for kind in KINDS]
    assert KINDS[0] is kinds.LEAKED and levels[-1] == kinds.NOTE
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert levels.index(kinds.WARNING) < levels.index(kinds.NOTE)
    everything = {kind for kind in vars(kinds).values() if isinstance(kind, kinds.Kind)}
    assert everything == set(KINDS)
    cases = [kinds.Finding(kind, "train", "a", "b") for kind in reversed(KINDS)]
    assert [case.kind for case in CheckReport({}, 640, cases).findings] == list(KINDS)


def test_frames_of_one_video_in_two_splits(tmp_path):
    names = ["train/clip_0001", "train/clip_0002", "val/clip_0003", "train/street_1", "val/street_2"]
    file = two_splits(tmp_path, {f"{name}.png": BOTH for name in names})
    report = check(file)
    assert found(report) == {"group in two splits": 1}
    assert "'clip' are in several splits (train 2, val 1)" in report.findings[0].reason
    assert "group in two splits  1      train-val  images" in str(report)


def test_groups_that_are_asked_for(tmp_path):
    """They come besides those of names; a group that both find is one finding, an image named by itself is none."""
    names = ["train/clip_0001", "val/clip_0003", "train/s1_0", "train/s1_1", "val/s1_2", "val/s2_0"]
    file = two_splits(tmp_path, {f"{name}.png": BOTH for name in names})

    def first_word(images) -> list[str]:
        words = (key.rpartition("/")[2].partition("_") for key in images.keys)
        return [word if tail else key for (word, _, tail), key in zip(words, images.keys, strict=True)]

    assert [case.reason for case in check(file).findings] == [
        "the images of 'clip' are in several splits (train 1, val 1)"
    ]
    report = check(file, groups=first_word)
    assert found(report) == {"group in two splits": 2}
    assert [case.reason.partition("' ")[0] for case in report.findings] == ["the images of 'clip", "the images of 's1"]
    assert report.findings[1].place == ("train", 1) and report.findings[1].twin == ("val", 1)


def test_a_grouping_sees_all_images_at_once(tmp_path):
    """So that a table whose names fit an image of each split can be refused."""
    seen = []
    check(two_splits(tmp_path), groups=lambda images: seen.append(images) or images.keys)
    (whole,) = seen
    assert len(whole) == 24 and len({whole.path(i) for i in range(24)}) == 24 and whole.class_counts().sum() == 48


def test_a_file_that_breaks_in_the_middle(tmp_path):
    file = two_splits(tmp_path)
    picture = tmp_path / "images/train/t0.jpg"
    (tmp_path / "images/train/t0.png").unlink()
    Image.fromarray(photograph(60, 100)).save(picture)
    whole = picture.read_bytes()
    middle = len(whole) // 2
    picture.write_bytes(whole[:middle] + b"\xff\xc4\x00\x03\xff" + whole[middle:])  # only decoding meets it
    assert found(check(file)) == {"image dropped": 1}


def test_what_the_scan_finds_is_ranked_with_the_rest(tmp_path):
    changes = {
        "train/t0.png": "5 0.5 0.5 0.1 0.1\n",
        "train/t1.png": BOTH + DOG + "0 0.5 0.5 0 0.1\n",
        "train/t2.png": None,
        "train/t3.png": "",
        "train/extra.png": BOTH,
        "train/more.png": BOTH,
    }
    file = two_splits(tmp_path, changes)
    (tmp_path / "images/train/t9.png").rename(tmp_path / "images/train/t9.heic")
    report = check(file)
    names = ["image dropped", "row removed", "no label file", "passed over", "image without objects"]
    assert found(report) == dict(zip(names, (1, 2, 1, 1, 1), strict=True))
    assert [case.line for case in report.of(kinds.REMOVED_ROW)] == [3, 4]
    (dropped,) = report.of(kinds.DROPPED_IMAGE)
    assert (dropped.file, dropped.line) == ("labels/train/t0.txt", 1)


def test_label_files_without_an_image(tmp_path):
    file = two_splits(tmp_path)
    for name in ("labels/train/lost.txt", "labels/train/classes.txt"):
        (tmp_path / name).write_text(BOTH, encoding="utf-8")
    report = check(file)
    assert found(report) == {"label file without image": 1}
    assert report.findings[0].file == "train/lost.txt"


def test_labelled_images_that_no_list_names(tmp_path):
    """A broken image is named all the same, and one without objects has no labels to lose."""
    extra = {"spare.png": CAT, "empty.png": "\n", "none.png": None, "broken.png": CAT}
    file = two_splits(tmp_path, {f"train/{name}": text for name, text in extra.items()})
    (tmp_path / "images/train/broken.png").write_bytes(b"")
    listed = [*(f"t{n}.png" for n in range(12)), "broken.png"]
    (tmp_path / "train.txt").write_text("\n".join(f"images/train/{name}" for name in listed), encoding="utf-8")
    file.write_text(TWO_SPLITS.replace("images/train", "train.txt"), encoding="utf-8")
    report = check(file)
    assert found(report) == {"image dropped": 1, "labelled image in no split": 1}
    (case,) = report.of(kinds.UNLISTED)
    assert (case.split, case.file) == ("all", "images/train/spare.png") and case.kind.level == kinds.WARNING
    assert not check(report.splits["train"]).of(kinds.UNLISTED)  # one split alone says nothing about the others


def test_an_image_that_a_list_names_by_a_link_is_in_a_split(tmp_path):
    file = two_splits(tmp_path)
    try:
        for kind, suffix in (("images", ".png"), ("labels", ".txt")):
            folder = tmp_path / kind / "train"
            (folder / f"link{suffix}").symlink_to(folder / f"t11{suffix}")
    except OSError:
        pytest.skip("this system makes no links")
    listed = [*(f"t{n}.png" for n in range(11)), "link.png"]
    (tmp_path / "train.txt").write_text("\n".join(f"images/train/{name}" for name in listed), encoding="utf-8")
    file.write_text(TWO_SPLITS.replace("images/train", "train.txt"), encoding="utf-8")
    assert check(file).findings == []


def test_classes_that_are_absent_rare_unmeasured_or_unused(tmp_path):
    names = "train: images/train\nval: images/val\nnames: [cat, dog, bird, cow, fish]\n"
    changes = {"val/v0.png": BOTH + "2 0.8 0.8 0.2 0.2\n", "train/t0.png": BOTH + "3 0.8 0.8 0.2 0.2\n"}
    report = check(two_splits(tmp_path, changes, names))
    (absent,), (rare,), (unmeasured,), (unused,) = map(
        report.of, (kinds.ABSENT_CLASS, kinds.RARE, kinds.ONLY_TRAIN, kinds.UNUSED_CLASS)
    )
    assert (absent.file, rare.file, unmeasured.file, unused.file) == ("bird", "cow", "cow", "fish")
    assert "val 1" in absent.reason and rare.reason == "1 objects in train"
    assert len(report.findings) == 4


@pytest.mark.parametrize(
    ("names", "twins"),
    [
        (["cat", "Cat"], 1),
        (["car", "cars"], 1),
        (["boxes", "box"], 1),
        (["berries", "berry"], 1),
        (["traffic-light", "Traffic lights"], 1),
        (["cat", "cat"], 1),
        (["cat", "car", "bus", "buss-stop", "ski", "sky", "glass"], 0),
    ],
)
def test_two_names_for_one_class(tmp_path, names, twins):
    report = check(two_splits(tmp_path, {}, TWO_SPLITS.replace("[cat, dog]", json.dumps(names))))
    assert len(report.of(kinds.TWIN_NAMES)) == twins


def test_colour_modes_and_sizes(tmp_path):
    file = two_splits(tmp_path)
    folder = tmp_path / "images/train"
    Image.fromarray(photograph(60, 100, 50)[..., 0]).save(folder / "t0.png")
    Image.fromarray(photograph(60, 100, 51)[..., 0].astype(np.uint16) * 257).save(folder / "t1.png")
    Image.fromarray(photograph(130, 210, 52)).save(folder / "t2.png")
    report = check(file)
    assert found(report) == {"few in another colour mode": 2, "mixed image sizes": 1}
    assert [case.reason.split(",")[0] for case in report.of(kinds.COLOUR_MODES)] == ["greyscale", "16-bit"]
    assert "from 100 x 60 to 210 x 130 pixels" in report.of(kinds.SIZES)[0].reason


def test_grey_pixels_in_a_colour_file_are_grey(tmp_path):
    file = two_splits(tmp_path)
    for path in sorted((tmp_path / "images").rglob("*.png"))[1:]:
        Image.open(path).convert("L").save(path)
    first = tmp_path / "images/train/t0.png"
    assert found(check(file)) == {"few in another colour mode": 1}
    Image.open(first).convert("L").convert("RGB").save(first)
    assert found(check(file)) == {}


def test_arrays_are_checked_too_and_a_wrong_size_is_told():
    images = [photograph(60, 100, seed) for seed in (0, 1, 0)]
    target = Target([[10, 10, 50, 40]], [0])
    report = check(in_memory(images, [target] * 3, 1))
    assert found(report) == {"rare class": 1, "copy within a split": 1}
    with pytest.raises(UserError, match="training size"):
        check("cells", imgsz=0)


def test_the_report_as_text_page_and_json(tmp_path):
    file = two_splits(tmp_path, {"train/t0.png": "5 0.5 0.5 0.1 0.1\n", "train/t1.png": BOTH + DOG * 5})
    report = check(file)
    text = str(report)
    assert text.index("error: image dropped  1") < text.index("warning: row removed  5")
    assert "row removed: yolo-ft data fix" in text
    assert "train labels/train/t1.txt, line 3: the same row again" in text and "... and 2 more" in text
    page = report.markdown({"image dropped": ["image_dropped.png"]})
    assert "| error: image dropped | 1 | train |" in page and "![image dropped](image_dropped.png)" in page
    content = json.loads(json.dumps(report.as_dict()))
    assert content["splits"]["val"] == {"images": 12, "objects": 24} and content["kinds"][0]["found"] == 1
    assert content["findings"][0]["file"] == "labels/train/t0.txt" and content["findings"][0]["level"] == "error"


def test_only_a_picture_keeps_a_label_file_from_being_an_orphan(tmp_path):
    file = two_splits(tmp_path)
    for name in ("shown.jfif", "unread.heic", "lost.json"):
        (tmp_path / "labels" / "train" / name).with_suffix(".txt").write_text(BOTH, encoding="utf-8")
        (tmp_path / "images" / "train" / name).write_bytes(b"x")
    files = [each.file for each in check(file).findings if each.kind is kinds.ORPHAN]
    assert files == ["train/lost.txt"]


def test_pillows_own_limit_of_pixels_stops_no_check(tmp_path, monkeypatch):
    file = two_splits(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert not check(file).errors
