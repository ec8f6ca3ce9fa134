"""Comparison of runs: reads folders only, pairs by seed, claims nothing that the seeds cannot carry."""

import math
import shutil
import warnings

import pandas as pd
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.comparison import find_runs
from yolo_ft.finetune.hyp import PRESETS
from yolo_ft.finetune.runs import Run
from yolo_ft.report.comparison import compare


def write_run(project, name, freeze="none", seed=0, ap=0.5, config=None, environment=None, **summary):
    """A finished run folder with the files that training writes."""
    run = Run.create(project, name)
    run.write_config({"freeze": freeze, "seed": seed, "epochs": 25, "lr0": 0.002, "name": name, **(config or {})})
    run.write_environment({"processor": "P", "data": "ab12", **(environment or {})})
    run.append_result({"epoch": 0, "map50": ap})
    score = {"map50": ap + 0.3, "map50_95": ap, "precision": 0.7, "recall": 0.6, "per_class": {}}
    share = {"none": 0.0, "10": 0.5, "24": 0.9}.get(freeze, 0.3)
    run.write_summary(
        {
            **{"name": name, "data": "cells", "num_classes": 3, "model": "yolov5n", "weights": "", "freeze": freeze},
            **{"freeze_label": "nothing frozen" if freeze == "none" else "layers 0-9 (backbone)", "seed": seed},
            **{"imgsz": 320, "batch": 16, "epochs": 25, "stopped": "finished", "threads": 2},
            **{"best": {"epoch": 20, **score}, "final": {"epoch": 24, **score, "map50_95": ap - 0.01}},
            **{"train_seconds": 100 * (1 - share), "images_per_s": 90.0, "peak_memory_mb": 1000 * (1 - share)},
            **{"frozen_share": share, "frozen_parameters": round(1000 * share), "backward_bytes_per_image": 8_000_000},
            **summary,
        }
    )
    return run


def study(project, seeds, arms=("none", "10", "24")):
    """`seeds` runs per arm; arm 10 is 0.1 + 0.01·seed below arm none, arm 24 exactly 0.3 below."""
    drop = {"none": [0.0] * 9, "10": [0.1 + 0.01 * seed for seed in range(9)], "24": [0.3] * 9}
    for arm in arms:
        for seed in range(seeds):
            write_run(project, f"{arm}-{seed}", arm, seed, ap=0.5 + 0.02 * seed - drop[arm][seed])
    return project


NONE, TEN = "freeze none, packaged weights", "freeze 10, packaged weights"


def test_nothing_to_compare(tmp_path):
    (tmp_path / "predict").mkdir()
    for nothing, said in [([], "nothing to compare"), (tmp_path, "no run in"), (tmp_path / "none", "no run in")]:
        with pytest.raises(UserError, match=said):
            compare(nothing)
    with pytest.raises(UserError, match="no run in"):
        compare(str(tmp_path / "x*"))


def test_one_run(tmp_path):
    comparison = compare(write_run(tmp_path, "a", ap=0.4321))
    assert len(comparison.table) == len(comparison.arms) == 1
    assert comparison.sentence() == f"mAP50-95 of {NONE}, 1 seed: 0.432."
    assert comparison.paired().empty
    assert comparison.notes == ()


def test_table_holds_what_the_summaries_say(tmp_path):
    write_run(tmp_path, "run", "10", seed=3, ap=0.4)
    (row,) = compare(tmp_path / "run").table.to_dict("records")
    assert row == {
        **{"name": "run", "arm": TEN, "seed": 3, "map50": pytest.approx(0.7), "map50_95": 0.4},
        **{"final_map50": pytest.approx(0.7), "final_map50_95": pytest.approx(0.39), "train_seconds": 50.0},
        **{"images_per_s": 90.0, "peak_memory_mb": 500.0, "backward_bytes_per_image": 8e6, "frozen_share": 0.5},
        **{"data": "cells", "imgsz": 320, "epochs": 25},
    }


def test_every_way_to_name_runs(tmp_path):
    study(tmp_path / "study", 2, ("none", "10"))
    (tmp_path / "study" / "predict").mkdir()  # not a run
    (tmp_path / "study" / "table.csv").write_text("x", encoding="utf-8")
    paths = sorted(path for path in (tmp_path / "study").glob("*-*"))
    expected = compare(tmp_path / "study").table
    ways = [paths, [Run(path) for path in paths], str(tmp_path / "study"), str(tmp_path / "study" / "*-*")]
    ways += [[str(tmp_path / "study"), paths[0]], (path for path in paths), str(tmp_path / "st*")]
    for way in ways:
        pd.testing.assert_frame_equal(compare(way).table, expected)
    assert [run.name for run in find_runs([paths[3], paths[0]])] == ["none-1", "10-0"]


def test_order_is_by_frozen_share_then_seed(tmp_path):
    table = compare(study(tmp_path, 2)).table
    assert table["name"].tolist() == ["none-0", "none-1", "10-0", "10-1", "24-0", "24-1"]


def test_recorded_runs_need_no_weights_and_no_config(tmp_path):
    study(tmp_path, 5)
    expected = compare(tmp_path).sentence()
    for path in tmp_path.iterdir():
        shutil.rmtree(path / "weights")
        (path / "config.yaml").unlink()
        (path / "environment.json").unlink()
    assert compare(tmp_path).sentence() == expected


def test_unfinished_and_broken_runs_are_told_and_skipped(tmp_path):
    study(tmp_path, 1, ("none",))
    Run.create(tmp_path, "killed").append_result({"epoch": 0})
    broken = write_run(tmp_path, "broken")
    (broken.path / "summary.json").write_text("{", encoding="utf-8")
    write_run(tmp_path, "interrupted", stopped="interrupted")
    write_run(tmp_path, "unvalidated", best=None, final=None)
    write_run(tmp_path, "undefined", best={"epoch": 1, "map50": None, "map50_95": None})
    write_run(tmp_path, "seedless", seed=None)
    with pytest.warns(UserWarning, match="Skipped 6 of 7 runs") as caught:
        comparison = compare(tmp_path)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert comparison.table["name"].tolist() == ["none-0"]
    for name in ("killed", "broken", "interrupted", "unvalidated", "undefined", "seedless"):
        assert f"{name}: " in comparison.notes[0]
    with pytest.raises(UserError, match=r"No run is finished\. killed: "):
        compare(tmp_path / "killed")


def test_stopped_early_is_finished(tmp_path):
    write_run(tmp_path, "a", stopped="early", epochs=12)
    write_run(tmp_path, "b", stopped="finished", seed=1)  # the same config: epochs planned, not epochs run, must agree
    assert compare(tmp_path).notes == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"imgsz": 640}, r"not comparable: they differ in imgsz \(320, 640\)"),
        ({"config": {"epochs": 50}}, r"not comparable: they differ in epochs \(25, 50\)"),
        ({"environment": {"data": "cd34"}}, r"not comparable: they differ in data \(ab12, cd34\)"),
        ({"model": "yolov5s"}, r"not comparable: they differ in model"),
    ],
)
def test_runs_of_one_arm_that_differ(tmp_path, change, said):
    write_run(tmp_path, "a")
    write_run(tmp_path, "b", seed=1, **change)
    with pytest.warns(UserWarning, match=said):
        assert len(compare(tmp_path).notes) == 1


def test_settings_that_differ_make_arms_of_their_own(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, f"a{seed}", seed=seed)
        write_run(tmp_path, f"b{seed}", seed=seed, config={"lr0": 0.01})
        write_run(tmp_path, f"c{seed}", "10", seed=seed)
    comparison = compare(tmp_path)
    none = "freeze none, packaged weights"
    assert list(comparison.arms.index) == [f"{none}, lr0 0.002", f"{none}, lr0 0.01", "freeze 10, packaged weights"]
    assert comparison.notes == ()


def test_presets_of_augmentation_are_arms_of_their_own(tmp_path):
    """They differ in ten settings; lesson 09 sends its readers here."""
    for seed in range(5):
        write_run(tmp_path, f"light{seed}", seed=seed, ap=0.5, config=PRESETS["light"])
        write_run(tmp_path, f"strong{seed}", seed=seed, ap=0.4, config=PRESETS["strong"] | {"lr0": 0.01})
    comparison = compare(tmp_path)
    none = "freeze none, packaged weights, lr0"
    assert list(comparison.arms.index) == [f"{none} 0.002, augmentation light", f"{none} 0.01, augmentation strong"]
    assert comparison.paired("light").loc[f"{none} 0.01, augmentation strong", "mean"] == pytest.approx(-0.1)
    assert comparison.notes == ()


def test_an_augmentation_of_ones_own_beside_a_preset_is_told_by_its_settings(tmp_path):
    write_run(tmp_path, "a", config=PRESETS["light"])
    write_run(tmp_path, "b", seed=1, config=PRESETS["light"] | {"fliplr": 0.0})
    none = "freeze none, packaged weights, fliplr"
    assert list(compare(tmp_path).arms.index) == [f"{none} 0.5", f"{none} 0.0"]


def test_many_settings_that_differ_are_no_name(tmp_path):
    settings = dict.fromkeys(("lr0", "box", "cls", "obj"), 0.5)
    write_run(tmp_path, "a", config=settings)
    write_run(tmp_path, "b", seed=1, config={name: 2 * value for name, value in settings.items()})
    with pytest.warns(UserWarning, match=r"not comparable: they differ in lr0 \(0.5, 1.0\), box"):
        assert len(compare(tmp_path).arms) == 1


def test_same_data_under_another_name_is_comparable(tmp_path):
    write_run(tmp_path, "a", data="cells")
    write_run(tmp_path, "b", seed=1, data="blood", config={"device": "cuda", "workers": 4, "project": "x"})
    assert compare(tmp_path).notes == ()


def test_arms_that_differ_in_more_than_the_freeze(tmp_path):
    write_run(tmp_path, "a")
    write_run(tmp_path, "b", "10", config={"epochs": 50})
    with pytest.warns(UserWarning, match=r"The arms differ in epochs \(25, 50\), not only in what is frozen"):
        compare(tmp_path)


def test_other_machines_leave_cost_out_of_the_sentence(tmp_path):
    write_run(tmp_path, "a")
    write_run(tmp_path, "b", "10", environment={"processor": "Q"})
    with pytest.warns(UserWarning, match=r"Seconds and memory are not comparable: .* processor \(P, Q\)"):
        comparison = compare(tmp_path)
    assert "training time" not in comparison.sentence() and "+0.000" in comparison.sentence()


def test_repeated_seeds_are_averaged_and_told(tmp_path):
    for name, ap in (("a", 0.4), ("b", 0.5)):
        write_run(tmp_path, name, ap=ap)
    write_run(tmp_path, "c", "10", ap=0.41)
    with pytest.warns(UserWarning, match=r"has seed 0 more than once \(a, b\): averaged"):
        comparison = compare(tmp_path)
    assert comparison.paired().loc[TEN, "seed 0"] == pytest.approx(-0.04)


def test_runs_with_one_name_are_told_apart(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"seed={seed}", "train", seed=seed)
    assert compare(str(tmp_path / "*")).table["name"].tolist() == ["seed=0/train", "seed=1/train"]


def test_fewer_than_five_seeds_claim_nothing(tmp_path):
    comparison = compare(study(tmp_path, 4))
    paired = comparison.paired()
    assert list(paired.columns) == ["seeds", "seed 0", "seed 1", "seed 2", "seed 3"]
    assert paired.loc[TEN].tolist() == pytest.approx([4, -0.10, -0.11, -0.12, -0.13])
    sentence = comparison.sentence()
    assert "-0.100, -0.110, -0.120, -0.130 (4 of the 5 seeds that a claim needs)" in sentence
    assert "interval" not in sentence and "±" not in repr(comparison) + comparison._repr_html_()


def test_five_seeds_carry_an_interval(tmp_path):
    comparison = compare(study(tmp_path, 5))
    row = comparison.paired("freeze none").loc[TEN]
    # Differences -0.10 … -0.14: mean -0.12, standard deviation sqrt(0.00025), t = 2.776 for 4 degrees of freedom.
    half = 2.776 * math.sqrt(0.00025 / 5)
    assert row[["mean", "95 % low", "95 % high"]].tolist() == pytest.approx([-0.12, -0.12 - half, -0.12 + half])
    assert comparison.sentence() == (
        f"mAP50-95 against {NONE}, paired by seed: {TEN} -0.120 (95 % interval -0.140 to -0.100, 5 seeds) "
        "at 0.50 × its training time and 0.50 × its peak memory; "
        "freeze 24, packaged weights -0.300 (95 % interval -0.300 to -0.300, 5 seeds) "
        "at 0.10 × its training time and 0.10 × its peak memory."
    )


def test_only_common_seeds_are_paired(tmp_path):
    for seed in range(5):
        write_run(tmp_path, f"a{seed}", seed=seed, ap=0.5)
        write_run(tmp_path, f"b{seed}", "10", seed=seed + 3, ap=0.4)
    write_run(tmp_path, "c", "24", seed=99)
    comparison = compare(tmp_path)
    paired = comparison.paired()
    assert paired["seeds"].tolist() == [2, 0]
    assert paired.loc[TEN, ["seed 3", "seed 4"]].tolist() == pytest.approx([-0.1, -0.1])
    assert "freeze 24, packaged weights shares no seed with it" in comparison.sentence()


def test_baseline_and_metric_can_be_chosen(tmp_path):
    comparison = compare(study(tmp_path, 2))
    assert comparison.baseline == NONE
    assert comparison.paired("freeze 10", "train_seconds").loc[NONE, "seed 1"] == 50.0
    assert comparison.sentence("24", "map50").startswith("mAP50 against freeze 24, packaged weights")
    for name, said in (("packaged", "names 3 arms"), ("77", "names 0 arms")):
        with pytest.raises(UserError, match=said):
            comparison.paired(name)
    with pytest.raises(UserError, match="no column 'map'"):
        comparison.paired(metric="map")
    with pytest.raises(UserError, match="no column 'arm'"):
        comparison.plot("arm")


def test_arms_list_every_seed(tmp_path):
    arms = compare(study(tmp_path, 3)).arms
    assert list(arms.index) == [NONE, TEN, "freeze 24, packaged weights"]
    assert arms["seeds"].tolist() == [3, 3, 3]
    assert arms.loc[NONE, "map50_95_each"] == (0.5, 0.52, 0.54)
    assert arms.loc[NONE, "map50_95"] == pytest.approx(0.52)
    assert arms.loc[TEN, "train_seconds"] == 50


def test_missing_costs_are_left_out(tmp_path):
    write_run(tmp_path, "a", peak_memory_mb=None)
    write_run(tmp_path, "b", "10", peak_memory_mb=None)
    comparison = compare(tmp_path)
    assert comparison.sentence().endswith("at 0.50 × its training time.")
    assert math.isnan(comparison.table["peak_memory_mb"][0])
    comparison.plot("peak_memory_mb").savefig(tmp_path / "empty.png")


def test_figure(tmp_path):
    comparison = compare(study(tmp_path, 3))
    figure = comparison.plot(star=write_run(tmp_path, "own", "10", seed=7, ap=0.3))
    assert [ax.get_xlabel() for ax in figure.axes] == ["training time (s)", "peak memory (MB)"]
    assert figure.axes[0].get_ylabel() == "mAP50-95"
    for ax, column in zip(figure.axes, ("train_seconds", "peak_memory_mb"), strict=True):
        *dots, star = ax.get_lines()
        drawn = sorted(point for line in dots for point in zip(*line.get_data(), strict=True))
        table = comparison.table
        assert drawn == sorted(zip(table[column], table["map50_95"], strict=True))  # every seed a dot
        assert star.get_marker() == "*" and star.get_ydata().tolist() == [0.3]
        assert len({line.get_color() for line in dots}) == len({line.get_marker() for line in dots}) == 3
        assert ax.get_xlim()[0] == ax.get_ylim()[0] == 0
    figure.canvas.draw()
    texts = [text for ax in figure.axes for text in (ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels())]
    texts += figure.legends[0].get_texts()
    assert all(text.get_fontsize() >= 11 for text in texts)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*comparison.arms.index, "your run"]


def test_every_column_can_be_drawn(tmp_path):
    comparison = compare(study(tmp_path, 1))
    costs = ["images_per_s", "backward_bytes_per_image", "frozen_share", "map50"]
    figure = comparison.plot(costs, metric="final_map50")
    assert figure.axes[2].get_lines()[1].get_xdata().tolist() == [50.0]  # per cent
    assert figure.axes[1].get_lines()[0].get_xdata().tolist() == [8.0]  # megabytes


def test_csv_reads_back(tmp_path):
    comparison = compare(study(tmp_path / "study", 2))
    comparison.to_csv(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), comparison.table, check_dtype=False)


def test_shown_in_a_notebook(tmp_path):
    write_run(tmp_path, "a", freeze="<b>")
    page = compare(tmp_path)._repr_html_()
    assert "<b>" not in page and "&lt;b&gt;" in page


def test_no_warning_for_a_clean_study(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare(study(tmp_path, 2)).notes == ()
