"""The benchmark of speed: its tables, its copies of the data, how it watches processes and reads what peers wrote."""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from benchmarks import drawn_speed, peers, speed, tables
from benchmarks.place import count, place_data
from benchmarks.session import Session, Settings, read_peer
from benchmarks.watch import timed, watched
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import load_dataset

RECORD = {"trainer": "ours", "freeze": 10, "views": 2, "epochs": 4, "images": 30, "epoch_seconds": [4.0, 1.0, 2.0, 3.0]}
RECORD |= {"precision": "bf16", "threads": 2, "prefix_cache": {"hits": 60, "misses": 60, "bytes": 5}}


@pytest.fixture
def source(tmp_path) -> Path:
    """A data set of three training images, of which the last has no label file, and two for validation."""
    folder = tmp_path / "source"
    for split, labels in {
        "train": ["0 0.5 0.5 0.5 0.25", "1 0.25 0.5 0.5 1", None],
        "val": ["1 0.5 0.5 1 0.5"] * 2,
    }.items():
        for i, label in enumerate(labels):
            for kind in ("images", "labels"):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 40), (10 * i, 50, 90)).save(folder / "images" / split / f"{split}{i}.png")
            if label:
                (folder / "labels" / split / f"{split}{i}.txt").write_text(label + "\n", encoding="utf-8")
    content = {"path": ".", "train": "images/train", "val": "images/val", "names": ["a", "b"]}
    (folder / "data.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def test_a_table_of_nothing_has_no_rows():
    assert tables.compare([]) == []


def test_medians_and_ratios_are_those_of_a_calculation_by_hand():
    samples = [("freeze 10", "ours", {"images/s": v, "with": "bf16"}) for v in (90.0, 30.0, 60.0)]
    samples += [("freeze 10", "yolov5", {"images/s": v, "with": "fp32"}) for v in (20.0, 40.0)]
    samples += [("freeze 24", "ours", {"images/s": 80.0, "with": "bf16"})]
    none, first = {"ours ÷ yolov5": None}, {"": "freeze 10", "who": "ours"}
    assert tables.compare(samples) == [
        {**first, "images/s": 60.0, "with": "bf16", "ours ÷ yolov5": 2.0},
        {**first, "who": "yolov5", "images/s": 30.0, "with": "fp32", **none},
        {"": "freeze 24", "who": "ours", "images/s": 80.0, "with": "bf16", **none},
    ]


def test_rows_that_are_measured_later_stand_beside_their_kind():
    samples = [(what, who, {"s": 1.0}) for what, who in (("a", "ours"), ("b", "ours"), ("a", "peer"), ("b", "peer"))]
    assert [(row[""], row["who"]) for row in tables.compare(samples)] == [
        *(("a", "ours"), ("a", "peer"), ("b", "ours"), ("b", "peer"))
    ]


def test_markdown_shows_three_digits_and_leaves_nothing_empty():
    rows = [{"": "x", "images/s": 1234.56, "s": 0.123456, "n": 2.0, "ours ÷ yolov5": 2.5}, dict.fromkeys("abcde")]
    rows[1] = dict.fromkeys(rows[0])
    assert tables.markdown(rows).splitlines() == [
        "|  | images/s | s | n | ours ÷ yolov5 |",
        "| --- | --- | --- | --- | --- |",
        "| x | 1235 | 0.123 | 2 | 2.5× |",
        "|  |  |  |  |  |",
    ]


def test_the_rate_counts_all_epochs_unless_some_are_left_out():
    assert tables.rate(RECORD) == 12.0 and tables.rate(RECORD, 1) == 15.0
    assert tables.rate({"images": 30, "epoch_seconds": []}) is None


def test_a_run_is_told_with_what_its_rate_depends_on():
    assert tables.who(RECORD) == "ours, 2 views cached"
    assert tables.details(RECORD) == "bf16, 2 threads, 4 epochs, K = 2, 50% hits"
    assert [tables.depth({"freeze": layers}) for layers in (0, 24)] == ["freeze none", "freeze 24"]


@pytest.mark.filterwarnings("ignore:.*kept as background")
def test_a_placed_data_set_holds_the_same_boxes_and_only_as_many_images_as_wanted(source, tmp_path):
    before = sorted(source.rglob("*"))
    placed = place_data(source, tmp_path / "two", images=2)
    assert (count(placed, "train"), count(placed, "val")) == (2, 2)
    for split in ("train", "val"):
        old, new = load_dataset(source, split), load_dataset(placed, split)
        assert new.names == {0: "a", 1: "b"} and len(new) == 2
        for i in range(2):
            np.testing.assert_array_equal(new.target(i).boxes, old.target(i).boxes)
            np.testing.assert_array_equal(new.target(i).labels, old.target(i).labels)
            np.testing.assert_array_equal(new.image(i), old.image(i))
    whole = place_data(source / "data.yaml", tmp_path / "all")
    assert count(whole, "train") == 3 and len(load_dataset(whole, "train").target(2)) == 0
    assert Path(yaml.safe_load(whole.read_text(encoding="utf-8"))["path"]).is_absolute()  # what the peers need
    assert sorted(source.rglob("*")) == before
    with pytest.raises(UserError, match="data.yaml does not exist"):
        place_data(tmp_path, tmp_path / "nothing")


ALLOCATE = "import time; held = b'x' * 150_000_000; time.sleep(1.5)"


def test_the_memory_of_a_child_is_seen(tmp_path):
    alone = "import time; time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ALLOCATE!r}], check=True)"
    without, found = (watched([sys.executable, "-c", code], tmp_path / "log", {}) for code in (alone, parent))
    assert without["processes"] == 1 and found["processes"] >= 2
    for name in ("anonymous_mb", "summed_mb", "resident_mb"):
        assert 0 < without[name] < 100 and 150 < found[name] < 300


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path):
    code = "import os, sys; sys.exit('no such ' + os.environ['THING'])"
    with pytest.raises(UserError, match="failed:\nno such luck"):
        timed([sys.executable, "-c", code], tmp_path / "log", {"THING": "luck"})
    assert set(timed([sys.executable, "-c", ""], tmp_path / "log", {})) == {"started", "seconds"}


def test_the_clock_of_a_peer_counts_every_pass_once():
    clock = peers.Clock()
    actions = clock.actions()
    actions["on_fit_epoch_end"]()  # nothing has begun
    for event in ("on_train_epoch_start", "on_train_batch_end", "on_train_epoch_end", "on_val_start"):
        actions[event]()
    first = clock.first_batch
    for event in ("on_val_end", "on_fit_epoch_end", "on_train_end", "on_train_batch_end"):
        actions[event]()
    assert [len(clock.seconds[what]) for what in ("epoch", "val")] == [1, 1] and clock.first_batch == first


def test_what_a_peer_wrote_is_read_and_scored_by_our_evaluator(source, tmp_path):
    placed, clock = place_data(source, tmp_path / "placed"), peers.Clock()
    clock.seconds = {"epoch": [2.0], "val": [1.0]}
    peers.write(tmp_path / peers.RESULT, "ultralytics", clock)
    told = read_peer(tmp_path, placed)
    assert told["map50"] is None and "detections" not in told
    assert (told["model"], told["epoch_seconds"], told["val_seconds"]) == ("yolo26n", [2.0], [1.0])
    clock.detections = {}  # it looked and found nothing
    peers.write(tmp_path / peers.RESULT, "yolov5", clock)
    assert read_peer(tmp_path, placed)["map50"] == 0
    right = [0.0, 10.0, 80.0, 30.0, 0.9, 1.0]  # the one object of both validation images
    clock.detections = {"00000.png": torch.tensor([right])}  # nothing was found in the other
    peers.write(tmp_path / peers.RESULT, "yolov5", clock)
    assert read_peer(tmp_path, placed)["map50"] == pytest.approx(51 / 101)  # recall 0, 0.01, … 0.5 of 101 points
    clock.detections["00001.png"] = torch.tensor([right])
    peers.write(tmp_path / peers.RESULT, "yolov5", clock)
    assert read_peer(tmp_path, placed)["map50"] == pytest.approx(1)


def test_the_script_for_the_peers_needs_nothing_of_ours():
    tree = ast.parse(Path(peers.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in names if name.split(".")[0] in ("yolo_ft", "benchmarks")]


def test_a_session_trains_ours_once_per_setting_and_keeps_what_it_measured(source, tmp_path):
    session = Session(source, tmp_path / "speed", sys.executable)
    settings = Settings(1, freeze=24, imgsz=64, batch=2, images=2)
    record = session.run("ours", settings)
    assert session.run("ours", settings) is record and len(session.records) == 1
    assert record["images"] == record["val_images"] == 2 and record["prefix_cache"] is None
    assert record["seconds"] > record["epoch_seconds"][0] > 0 and len(record["val_seconds"]) == 1
    assert yaml.safe_load((session.folder / "speed.json").read_text(encoding="utf-8"))["runs"][0]["freeze"] == 24
    assert Session(source, tmp_path / "speed", sys.executable).folder.name == "speed-2"


def test_the_target_is_sought_with_ever_more_epochs():
    def run(trainer: str, settings: Settings) -> dict:
        map50 = 0.65 if trainer == "yolov5" else settings.epochs / 20
        return {"trainer": trainer, "epochs": settings.epochs, "map50": map50, "seconds": 9.0, "epoch_seconds": [5.0]}

    session = SimpleNamespace(peers=["yolov5"], run=run)
    samples = speed.target(session, speed.parse(["--data", "x", "--target-epochs", "40"]))
    assert [values["epochs"] for _, _, values in samples] == [40, 8, 10, 12, 16]
    assert [values["target"] for _, _, values in samples] == ["is the target", *["missed"] * 3, "reached"]
    assert [run["epochs"] for run in session.trained] == [16, 40]
    assert speed.target(SimpleNamespace(peers=["ultralytics"]), None) == []


@pytest.mark.parametrize("wrong", [["--only", "loop,speed"], ["--epochs", "2", "--views", "2"]])
def test_options_that_cannot_work_are_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        speed.parse(["--data", "x", *wrong])
    assert "there is no part speed" in (told := capsys.readouterr().err) or "--views must be fewer" in told


def test_validations_are_told_apart_by_how_far_the_network_is():
    run = {"trainer": "ours", "views": 0, "val_images": 6, "val_seconds": [3.0, 1.0, 2.0]}
    session = SimpleNamespace(peers=[], run=lambda *_: run, trained=[{**run, "val_seconds": [9.0] + [2.0] * 5}])
    samples = speed.validation(session, speed.parse(["--data", "x", "--epochs", "3", "--repeat", "1"]))
    assert [values["images/s"] for _, _, values in samples] == [2.0, 6.0, 3.0, 3.0]


def test_yolo26n_is_measured_beside_its_like():
    seen = []

    def run(trainer: str, settings: Settings, repeat: int) -> dict:
        seen.append((trainer, settings.model, settings.freeze, settings.views))
        return {}

    options = speed.parse(["--data", "x", "--repeat", "1", "--model", "yolo26n"])
    session = SimpleNamespace(peers=speed.RIVALS["yolo26n"], run=run)
    assert len(speed.matrix(session, options)) == 8
    ours, theirs = ([(f, v) for who, model, f, v in seen if who == name] for name in ("ours", "ultralytics"))
    assert ours == [(0, 0), (11, 0), (11, 2), (23, 0), (23, 2)] and theirs == [(0, 0), (11, 0), (23, 0)]
    assert {model for _, model, _, _ in seen} == {"yolo26n"}
    assert speed.target(session, options) == []


def test_the_speed_of_drawing_is_told_for_every_set(capsys):
    drawn_speed.main(["--sets", "cells:low-power", "defects", "--images", "1", "--rounds", "1"])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("|  | images/s, one core | images/s, ")
    assert [row.split(" | ")[0] for row in rows] == ["| cells:low-power", "| defects"]
    assert all(float(number) > 0 for row in rows for number in row.strip("| ").split(" | ")[1:])
    assert drawn_speed.NAMES[::5] == ("cells", "defects") and len(drawn_speed.NAMES) == 6
