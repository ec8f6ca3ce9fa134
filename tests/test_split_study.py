"""The recorded studies of splits: films that look like films, what is left to run, and tables of known detections."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from benchmarks import split_study
from picture_sets import coloured, rectangles, write_set
from test_comparison import write_run

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Detections, Target
from yolo_ft.data.dataset import load_dataset
from yolo_ft.data.splits.split import split

YAML = "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"


@pytest.fixture
def photographs(tmp_path):
    """Six photographs to film and two that stay untouched."""
    label = "0 0.5 0.5 0.5 0.5\n1 0.02 0.5 0.04 0.1\n"
    names = [f"train/{i}.png" for i in range(6)] + [f"val/{i}.png" for i in range(2)]
    return write_set(tmp_path / "set", dict.fromkeys(names, label), YAML, size=(60, 100))


def test_a_film_moves_over_the_photograph_and_boxes_move_with_it():
    box = [40, 20, 60, 40]
    image = rectangles(60, 100, [box], [1]) // 2
    shots = split_study.film(image, Target([box, [0, 0, 3, 3]], [1, 0]), 4, np.random.default_rng(0))
    assert [pixels.shape for pixels, _ in shots] == [(48, 80, 3)] * 4
    for pixels, target in shots:
        drawn = np.argwhere(pixels[..., 1] > 60)  # the green rectangle, rows and columns
        left, top, right, bottom = target.boxes[target.labels.tolist().index(1)]
        assert [top, left, bottom - 1, right - 1] == [*drawn.min(0), *drawn.max(0)]
    lefts = [target.boxes[target.labels.tolist().index(1), 0] for _, target in shots]
    assert sorted(lefts) in (lefts, lefts[::-1]) and len(set(lefts)) > 1
    assert len({int(pixels.max()) for pixels, _ in shots}) > 1, "the light changes"
    corner = [target.labels.tolist().count(0) for _, target in shots]
    assert 0 in corner, "what has left the window is no object"


def test_films_split_at_random_leak_and_whole_films_do_not(photographs, tmp_path):
    folder = tmp_path / "films"
    split_study.make_films(str(photographs), folder, videos=5, frames=4)
    assert len(load_dataset(folder, "train")) == 20
    assert load_dataset(folder, "test").keys == ["images/val000.jpg", "images/val001.jpg"]
    for arm, groups in split_study.ARMS.items():
        made = split(folder, val=0.2, groups=groups, stratify=False)
        assert [len(made.indices[name]) for name in ("train", "val", "test")] == [16, 4, 2]
        assert made.report("names").leaks.empty == (arm == "grouped")
    with pytest.raises(UserError, match="has one split"):
        split_study.make_films(str(one_split(tmp_path)), tmp_path / "more", 1, 1)


def one_split(tmp_path):
    return write_set(tmp_path / "one", {"1.png": "0 0.5 0.5 0.5 0.5\n"}, "train: images\nnames: [cat]\n")


def test_the_next_step_of_a_run(tmp_path):
    wanted = split_study.next_step(tmp_path, "random-seed3", 3, 25)
    told = "train --data random-seed3 --epochs 25 --imgsz 320 --batch 16 --val-every 5 --seed 3 --project runs"
    assert " ".join(wanted) == f"{told} --name random-seed3"
    run = write_run(tmp_path / "runs", "random-seed3", config={"epochs": 25})
    assert split_study.next_step(tmp_path, "random-seed3", 3, 25) == wanted and not run.path.exists()
    run = write_run(tmp_path / "runs", "random-seed3", config={"epochs": 25})
    (run.path / "weights").mkdir(exist_ok=True)
    (run.path / "weights" / "last.pt").touch()
    assert split_study.next_step(tmp_path, "random-seed3", 3, 25) is None
    with pytest.raises(UserError, match="other settings"):
        split_study.next_step(tmp_path, "random-seed3", 3, 5)
    (run.path / "summary.json").unlink()
    assert split_study.next_step(tmp_path, "random-seed3", 3, 25) == ["train", "--resume", "runs/random-seed3"]
    shutil.rmtree(tmp_path / "runs")


@pytest.fixture
def detections(monkeypatch):
    """Instead of a network: every second image's objects are found, exactly; the pool is a set in memory."""
    pool = coloured(60)
    rows = [pool.target(i) for i in range(len(pool))]
    found = [Detections(t.boxes, [0.9] * len(t), t.labels) if i % 2 else Detections() for i, t in enumerate(rows)]
    monkeypatch.setattr(split_study, "load_dataset", lambda data, part: pool)
    monkeypatch.setattr(split_study, "detect", lambda model, dataset, imgsz: found)
    return pool


def test_larger_validation_sets_have_narrower_intervals(detections, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(split_study, "SETS", (100, 1000))
    arguments = ["--data", "d", "--weights", str(split_study.DEFAULT_WEIGHTS), "--repeats", "40", "--out"]
    assert split_study.main(["intervals", *arguments, str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert rows["val_images"].tolist() == [10, 20, 100, 200]
    assert rows["width"].is_monotonic_decreasing and rows["width"].iloc[0] > 3 * rows["width"].iloc[3] > 0
    np.testing.assert_allclose(rows["map50"], 0.5, atol=0.06)
    about = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert about["settings"]["repeats"] == 40 and about["environment"]["data"] == detections.digest
    assert str(tmp_path) not in json.dumps(about) and "val_images" in capsys.readouterr().out


def test_classes_are_measured_in_both_kinds_of_split(detections, tmp_path):
    arguments = ["--data", "d", "--weights", str(split_study.DEFAULT_WEIGHTS), "--repeats", "6", "--out"]
    assert split_study.main(["classes", *arguments, str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "rows.csv").set_index(["split", "class"])
    assert rows.loc["random", "boxes"].tolist() == [20] * 6 + [120] and (rows["splits"] == 6).all()
    spread = rows["share_sd"].unstack().drop(columns="(all)")
    assert (spread.loc["stratified"] < 1e-9).all() and (spread.loc["random"] > 0.02).all()
