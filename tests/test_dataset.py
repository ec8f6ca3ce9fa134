"""load_dataset: what is kept, what is dropped and why, and that nobody's folder is touched."""

from __future__ import annotations

import pickle
import shutil
import warnings

import numpy as np
import pytest
import yaml
from picture_sets import fingerprint, in_memory, photograph, write_set

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data import dataset as dataset_module
from yolo_ft.data.dataset import load_dataset, load_splits
from yolo_ft.data.health import BACKGROUND, DROPPED, IGNORED, ROW_REMOVED, HealthReport, Issue

GOOD = "0 0.5 0.5 0.2 0.5\n"


def quietly(data, split="train"):
    """The data set without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_dataset(data, split)


def test_a_folder_with_spaces_umlauts_bom_and_crlf(tmp_path):
    folder = tmp_path / "Blut Bilder ü"
    labels = {"b 1.png": "\ufeff1 0.25 0.5 0.3 0.4\r\n0 0.9 0.1 0.4 0.2\r\n", "ä.jpg": GOOD}
    file = write_set(folder, labels, size=(60, 100))
    for data in (file, str(file), folder):
        dataset = load_dataset(data)
        assert dataset.keys == ["images/b 1.png", "images/ä.jpg"]
        assert dataset.names == {0: "cat", 1: "dog"} and dataset.num_classes == 2 and len(dataset) == 2
        assert dataset.size(0) == (60, 100) and dataset.image(0).shape == (60, 100, 3)
        # by hand: 100 px wide, 60 px high; the second box sticks out to the right (1.1) and is cut at the edge
        np.testing.assert_allclose(dataset.target(0).boxes, [[10, 18, 40, 42], [70, 0, 100, 12]], atol=1e-4)
        assert dataset.target(0).labels.tolist() == [1, 0]
        assert not dataset.health.issues and "no problem" in dataset.health.summary()
    assert load_dataset(dataset) is dataset
    assert (dataset.image(0) == photograph(60, 100, 0)).all()


def test_every_finding_is_listed_and_only_bad_images_are_lost(tmp_path):
    labels = {
        "1.png": GOOD,
        "2.png": None,
        "3.png": "",
        "4.png": GOOD + "0 0.5 0.5 0.2\n",
        "5.png": GOOD + GOOD,
        "6.png": "2 0.5 0.5 0.1 0.1\n",
        "7.png": GOOD,
        "8.png": GOOD,
        "9.png": GOOD + "1 0.5 0.5 0 0.1\n",
    }
    file = write_set(tmp_path, labels)
    broken = tmp_path / "images" / "7.png"
    broken.write_bytes(broken.read_bytes()[:200])
    (tmp_path / "labels" / "8.txt").write_bytes(b"0 0.5 \xff\xfe")
    with pytest.warns(UserWarning, match=r"4 × image dropped, 2 × row removed, 2 × kept as background") as caught:
        dataset = load_dataset(file)
    assert len(caught) == 1 and caught[0].filename == __file__
    found = {(issue.file, issue.line, issue.action) for issue in dataset.health.issues}
    assert found == {
        ("images/2.png", None, BACKGROUND),
        ("labels/3.txt", None, BACKGROUND),
        ("labels/4.txt", 2, DROPPED),
        ("labels/5.txt", 2, ROW_REMOVED),
        ("labels/6.txt", 1, DROPPED),
        ("images/7.png", None, DROPPED),
        ("labels/8.txt", None, DROPPED),
        ("labels/9.txt", 2, ROW_REMOVED),
    }
    assert all(issue.reason for issue in dataset.health.issues)
    assert dataset.keys == [f"images/{i}.png" for i in (1, 2, 3, 5, 9)]
    assert [len(dataset.target(i)) for i in range(5)] == [1, 0, 0, 1, 1]
    health = dataset.health
    assert (health.images, health.objects, health.background) == (5, 3, 2)
    assert "class 2 is not in 0..1" in health.summary(limit=20) and "and 3 more" in health.summary(limit=5)


def test_the_users_folder_is_never_changed_and_nothing_in_it_runs(tmp_path):
    flag = tmp_path / "ran"
    folder = tmp_path / "set"
    yaml_text = f"train: images\nval: images\nnames: [x]\ndownload: touch {flag}\n"
    file = write_set(folder, {"1.jpg": GOOD, "2.jpg": "bad", "3.jpg": GOOD}, yaml_text)
    cut = folder / "images" / "3.jpg"
    cut.write_bytes(cut.read_bytes()[:-2] + b"\0\0")  # without its end marker; YOLOv5 would rewrite such a file

    class Bomb:
        def __reduce__(self):
            return (flag.touch, ())

    for name in ("labels.cache", "labels/train.cache", "images.cache"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    before = fingerprint(folder)
    dataset = quietly(file)
    assert len(dataset) >= 1 and dataset.digest
    for i in range(len(dataset)):
        dataset.image(i), dataset.resized(i, 64)
    assert fingerprint(folder) == before
    assert not flag.exists()


def test_a_split_without_any_label_is_an_error_that_says_where_labels_belong(tmp_path):
    file = write_set(tmp_path, {"1.png": None, "2.png": ""})
    with pytest.raises(UserError, match=r"no image of 'train'.*labels.a\.txt"):
        load_dataset(file)
    below = tmp_path / "images" / "train"
    below.mkdir()
    for image in (tmp_path / "images").glob("*.png"):
        image.rename(below / image.name)
    content = yaml.safe_load(file.read_text(encoding="utf-8")) | {"train": "images/train"}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(UserError, match=r"no image of 'train'.*labels.train.a\.txt"):
        load_dataset(file)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("my_set.yaml", "my_set is not on this machine and none of the sets.*list`: pass .*data='cells'"),
        ("Cells", "Cells is not on this machine .* did you mean 'cells'"),
        ("VOC.yaml", "VOC is not on this machine .* did you mean 'voc20"),
        ("my_set", "my_set is not on this machine"),
        ("no/such/data.yaml", "does not exist"),
        ("cell", "cell is not on this machine"),
    ],
)
def test_names_and_paths_that_lead_nowhere(tmp_path, monkeypatch, data, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        load_dataset(data)


def test_folders_and_files_that_are_no_data_yaml(tmp_path):
    with pytest.raises(UserError, match="holds none"):
        load_dataset(tmp_path)
    write_set(tmp_path, {"1.png": GOOD}).rename(tmp_path / "one.yaml")
    assert load_dataset(tmp_path).name == "one"
    shutil.copy(tmp_path / "one.yaml", tmp_path / "two.yml")
    with pytest.raises(UserError, match="several .one.yaml, two.yml."):
        load_dataset(tmp_path)
    with pytest.raises(UserError, match="is no data.yaml"):
        load_dataset(tmp_path / "images" / "1.png")
    with pytest.raises(UserError, match="no split 'valid': choose one of train, val, test"):
        load_dataset(tmp_path / "one.yaml", "valid")
    with pytest.raises(UserError, match="no 'test:' entry"):
        load_dataset(tmp_path / "one.yaml", "test")


@pytest.mark.parametrize(
    ("size", "imgsz", "expected"),
    [((60, 100), 50, (30, 50)), ((100, 60), 320, (320, 192)), ((33, 64), 64, (33, 64)), ((10, 900), 90, (1, 90))],
)
def test_resized_brings_the_long_side_to_imgsz(size, imgsz, expected):
    dataset = in_memory([photograph(*size)], [Target()])
    pixels = dataset.resized(0, imgsz)
    assert pixels.shape == (*expected, 3) and pixels.dtype == np.uint8
    assert dataset.resized(0, imgsz) is pixels  # kept
    other = dataset.resized(0, 32)
    assert max(other.shape) == 32 and dataset.resized(0, imgsz) is pixels


def test_the_cache_respects_its_budget_and_can_be_switched_off(monkeypatch):
    monkeypatch.setattr(dataset_module, "CACHE_BYTES", 10 * 20 * 3 * 2)  # room for two
    dataset = in_memory([photograph(20, 40, i) for i in range(3)], [Target()] * 3)
    first = [dataset.resized(i, 20) for i in range(3)]
    again = [dataset.resized(i, 20) for i in range(3)]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, True, False]
    assert (first[2] == again[2]).all() and dataset.cache.used == 1200
    dataset.cache.allow(False)
    assert dataset.cache.used == 0 and dataset.resized(0, 20) is not dataset.resized(0, 20)
    dataset.cache.allow(True)
    assert dataset.resized(0, 20) is dataset.resized(0, 20)


def test_image_is_a_copy_that_the_reader_may_draw_on():
    dataset = in_memory([photograph(20, 40)], [Target()])
    dataset.image(0)[:] = 0
    assert (dataset.image(0) == photograph(20, 40)).all()


def test_subset_keeps_order_targets_and_cache():
    targets = [Target([[0, 0, i + 1, 2]], [i]) for i in range(4)]
    dataset = in_memory([photograph(20, 40, i) for i in range(4)], targets)
    part = dataset.subset([3, 1])
    assert part.keys == ["image3", "image1"] and part.names == dataset.names and len(part) == 2
    assert part.target(0).labels.tolist() == [3] and (part.image(1) == photograph(20, 40, 1)).all()
    assert part.resized(0, 20) is dataset.resized(3, 20)
    assert len(dataset.subset([])) == 0


def test_digest_follows_content_not_place(tmp_path):
    file = write_set(tmp_path / "a", {"1.png": GOOD, "2.png": ""})
    digest = quietly(file).digest
    assert len(digest) == 64 and int(digest, 16)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert quietly(tmp_path / "b").digest == digest
    (tmp_path / "b" / "labels" / "1.txt").write_text("1 0.5 0.5 0.2 0.5\n", encoding="utf-8")
    assert quietly(tmp_path / "b").digest != digest
    other = write_set(tmp_path / "a", {"1.png": GOOD, "2.png": ""}, "train: images\nnames: [cat, cow]\n")
    assert quietly(other).digest != digest


def test_health_summary_in_words():
    assert (
        HealthReport("a", "val").summary() == "a, val: 0 images, 0 objects, 0 images as background; no problem found."
    )
    report = HealthReport("a", "val", 3, 9, 1)
    report.issues = [Issue("i/1.jpg", None, "no label file", BACKGROUND), Issue("l/2.txt", 7, "NaN", DROPPED)]
    assert str(report).splitlines() == [
        "a, val: 3 images, 9 objects, 1 images as background; 1 × image dropped, 1 × kept as background.",
        "  l/2.txt, line 7: NaN (image dropped)",
        "  i/1.jpg: no label file (kept as background)",
    ]
    assert IGNORED not in str(report)


def test_class_counts_are_those_of_the_targets():
    assert in_memory([], []).class_counts().shape == (0, 6)
    targets = [Target(np.zeros((len(labels), 4)), labels) for labels in ([2, 0, 2], [], [1])]
    counts = in_memory([np.zeros((4, 6, 3), np.uint8)] * 3, targets, classes=4).class_counts()
    assert counts.tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [0, 1, 0, 0]] and counts.dtype == np.int64


def test_cells_needs_no_file():
    dataset = load_dataset("cells", "test")
    assert len(dataset) == 60 and dataset.names == {0: "RBC", 1: "WBC", 2: "Platelets"}
    assert load_dataset("cells.yaml", "test") is dataset
    assert dataset.image(0).shape == (*dataset.size(0), 3) and dataset.health.objects > 0
    assert not dataset.health.issues


def test_bccd_counts(real_data):
    counts = np.zeros(3, int)
    for split, images in {"train": 205, "val": 87, "test": 72}.items():
        dataset = load_dataset(real_data / "bccd", split)
        assert len(dataset) == images and dataset.name == "bccd"
        assert {dataset.size(i) for i in range(len(dataset))} == {(480, 640)}
        counts += dataset.class_counts().sum(0)
    assert list(dataset.names.values()) == ["RBC", "WBC", "Platelets"]
    # rows of the label files: 4153, 372, 361
    assert counts.tolist() == [4153, 372, 361]


def test_a_set_of_traps_loses_only_the_truncated_one(real_data, tmp_path):
    shutil.copytree(real_data / "traps" / "images", tmp_path / "images")
    (tmp_path / "labels").mkdir()
    for image in (tmp_path / "images").iterdir():
        (tmp_path / "labels" / f"{image.stem}.txt").write_text(GOOD, encoding="utf-8")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [x]\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="1 × image dropped"):
        dataset = load_dataset(tmp_path)
    assert [issue.file for issue in dataset.health.issues] == ["images/truncated.jpg"]
    assert len(dataset) == 7
    for i in range(7):
        assert max(dataset.resized(i, 64).shape) == 64


def test_an_empty_split_can_be_looked_at_but_not_trained_on(tmp_path):
    file = write_set(tmp_path, {"1.png": GOOD}, "train: images/train\nval: images\nnames: [x]\n")
    (tmp_path / "images/train").mkdir()
    assert [len(dataset) for dataset in load_splits(file).values()] == [0, 1]
    with pytest.raises(UserError, match="the split 'train' holds no image: check its path"):
        load_dataset(file)
    (tmp_path / "images/1.png").unlink()
    with pytest.raises(UserError, match=r"no split \(train, val\) holds an image: check the paths.*images=FOLDER"):
        load_splits(file)


def test_every_split_in_one_call_whatever_its_state(tmp_path):
    file = write_set(tmp_path, {"1.png": "", "2.png": None})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = load_splits(file)
    assert list(splits) == ["train", "val"] and len(splits["train"]) == 2
    assert [issue.action for issue in splits["train"].health.issues] == [BACKGROUND, BACKGROUND]
    assert splits["train"].path(1) == tmp_path / "images" / "2.png"
    assert load_splits(splits["val"]) == {"val": splits["val"]}
    drawn = load_splits("cells")
    assert [len(dataset) for dataset in drawn.values()] == [200, 80, 60] and drawn["val"].path(0) is None
