"""Grids of small trainings: which images, which labels, which rows are missing, and what one run leaves."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import augment_study, grid

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.dataset import load_dataset
from yolo_ft.report import recorded as home
from yolo_ft.report.recorded import ABOUT, ROWS, recorded_rows

TABLES = [study for study in grid.STUDIES if (Path(home.__file__).parent / study / ROWS).is_file()]
BOXES = Target(np.array([[10, 20, 50, 100], [0, 0, 30, 10]] * 500, np.float32), np.array([0, 1] * 500))


def damaged(damage) -> Target:
    return damage(BOXES, np.random.default_rng(0), (120, 60), 4)


def test_labels_that_were_forgotten_drawn_badly_or_confused():
    assert 0.65 < len(damaged(grid.missing(0.3))) / len(BOXES) < 0.75
    sloppy = damaged(grid.sloppy(0.1)).boxes
    error = (sloppy - BOXES.boxes)[::2] / [40, 80, 40, 80]  # of the box that no border cuts
    np.testing.assert_allclose(error.std(0), 0.1, rtol=0.15)
    assert (sloppy[:, 2:] >= sloppy[:, :2]).all() and sloppy.min() >= 0 and sloppy[:, 2].max() <= 60
    confused = damaged(grid.confused(0.4))
    assert 0.25 < (confused.labels != BOXES.labels).mean() < 0.35  # of four classes one in four draws is right
    np.testing.assert_array_equal(confused.boxes, BOXES.boxes)
    for damage in (grid.missing(0.0), grid.sloppy(0.0), grid.confused(0.0)):
        np.testing.assert_array_equal(damaged(damage).boxes, BOXES.boxes)
        np.testing.assert_array_equal(damaged(damage).labels, BOXES.labels)
        assert len(damage(Target(), np.random.default_rng(0), (120, 60), 4)) == 0


def test_smaller_sets_lie_inside_larger_ones_and_every_seed_draws_its_own():
    whole = grid.images("cells")[0]
    few, more, other = (
        set(grid.training_set(whole, n, seed, grid.Arm()).keys) for n, seed in (("5", 0), ("9", 0), ("9", 1))
    )
    assert few < more and more != other and (len(few), len(more)) == (5, 9)
    assert grid.training_set(whole, "all", 3, grid.Arm()).keys == whole.keys
    with pytest.raises(UserError, match="200 training images, not 201"):
        grid.training_set(whole, "201", 0, grid.Arm())


def test_one_run_is_one_row_and_is_not_made_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(grid, "COMMON", {**grid.COMMON, "imgsz": 64})
    monkeypatch.setattr(grid, "ProcessPoolExecutor", lambda jobs, mp_context: InThisProcess())
    call = ["transfer", "--data", "cells", "--arms", "none", "--images", "4", "--epochs", "1", "--seeds", "2"]
    assert grid.main([*call, "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / ROWS)
    assert rows[grid.KEY].values.tolist() == [["cells", 4, "none", 1, 2]]
    assert json.loads((tmp_path / ABOUT).read_text(encoding="utf-8"))["arms"]["freeze10"]["freeze"] == 10
    before = (tmp_path / ROWS).read_bytes()
    assert "1 runs to train" in capsys.readouterr().out
    assert grid.main([*call, "--out", str(tmp_path)]) == 0
    assert "0 runs to train" in capsys.readouterr().out and (tmp_path / ROWS).read_bytes() == before


def test_a_run_of_lesson_09_also_tells_memory_from_learning(monkeypatch):
    monkeypatch.setattr(grid, "COMMON", {**grid.COMMON, "imgsz": 64})
    row = grid.train("augment", "cells", "4", "paste", 3, 1)
    assert [row[name] for name in grid.KEY] == ["cells", 4, "paste", 3, 1] and row["rare"] == "WBC"  # 183 of 2719
    assert 0 < row["loss"] < 50
    for name in ("seen_map50_95", "rare_ap50", "rare_ap50_95"):
        assert 0 <= row[name] <= 1


def test_every_arm_of_every_study_can_be_configured():
    for arms in grid.STUDIES.values():
        for arm in arms.values():
            TrainConfig.from_dict({**grid.COMMON, **arm.settings, "epochs": 12})


def test_the_study_of_lesson_09_is_four_grids_of_known_arms(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(grid, "main", lambda call: calls.append(grid.parse(call)) or 0)
    twice = load_dataset("cells").subset([3, 3])
    monkeypatch.setattr(augment_study, "load_dataset", lambda path: twice)
    monkeypatch.setattr(grid, "images", lambda data: (load_dataset("cells").subset([*range(200)] * 2), twice))
    call = [str(tmp_path), "--out", str(tmp_path)]
    assert augment_study.main([*call, "--jobs", "2"]) == 0
    assert [(Path(c.data).name, c.images, c.epochs, len(c.arms)) for c in calls] == [
        *(("bccd", ["20"], [80], 7), ("bccd", ["all"], [12], 4)),
        *(("mask", ["400"], [12], 5), ("deeppcb", ["all"], [12], 4)),
    ]
    assert all(c.study == "augment" and c.jobs == 2 and c.seeds == [0, 1, 2, 3, 4] for c in calls)
    assert all(set(c.arms) <= set(grid.STUDIES["augment"]) and c.out == tmp_path for c in calls)
    about = json.loads((tmp_path / ABOUT).read_text(encoding="utf-8"))
    assert "augment_study.py" in about["command"] and set(about["effective_images"].values()) == {1.0}
    counts = load_dataset("cells").class_counts().sum(0)
    rarest = counts.argmin()  # all 400 images are drawn
    assert about["rare_objects"] == {"train": [2 * counts[rarest]] * 2, "val": twice.class_counts().sum(0)[rarest]}
    monkeypatch.setattr(grid, "main", lambda call: 1)
    assert augment_study.main(call) == 1


class InThisProcess:
    """Stands in for the pool."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*arguments))
        return future


def test_the_table_shows_means_in_the_order_of_the_arms():
    rows = pd.DataFrame(
        [["d", 20, arm, 5, seed, value] for arm, seed, value in [("b", 0, 0.2), ("a", 0, 0.5), ("b", 1, 0.4)]]
    )
    rows.columns = [*grid.KEY, "map50"]
    assert grid.table(rows, ["b", "a"]).splitlines() == [
        "| data | images | epochs | seeds | b | a |",
        "| --- | --- | --- | --- | --- | --- |",
        "| d | 20 | 5 | 2 | 0.300 | 0.500 |",
    ]


@pytest.mark.parametrize("arguments", [["transfer"], ["transfer", "--data", "cells", "--arms", "nothing"]])
def test_a_mistake_is_a_sentence_and_exit_code_2(arguments, tmp_path, capsys):
    assert grid.main([*arguments, "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_study_without_a_table_says_where_its_runs_are():
    with pytest.raises(UserError, match=r"compare\(recorded\('freeze_bccd'\)\)"):
        recorded_rows("freeze_bccd")


@pytest.mark.parametrize("study", TABLES)
def test_a_recorded_table_has_every_seed_of_every_cell_once(study):
    rows = recorded_rows(study)
    cells = [name for name in rows.columns if name in ("study", *grid.KEY) and name != "seed"]
    assert not rows.duplicated([*cells, "seed"]).any()
    assert rows["map50"].between(0, 1).all()
    assert (home.recorded(study) / ROWS).stat().st_size < 500_000
