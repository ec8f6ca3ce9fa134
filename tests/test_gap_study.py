"""The recorded gap of real sets: what the command writes, what lesson 06 reads, and what it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from benchmarks import gap_study
from picture_sets import write_set

from yolo_ft.data.statistics.distributions import LAYOUT, LOOK
from yolo_ft.data.statistics.domain_gap import compare_with_source, gap
from yolo_ft.data.statistics.stats import statistics
from yolo_ft.report.recorded import ABOUT, ROWS, recorded_rows

COLUMNS = ["data", "images", "of", "distribution", "distance", "noise", "yours", "source"]


@pytest.fixture
def sets(tmp_path):
    """Two sets of six noisy photographs, one with small boxes and one with large ones."""
    for name, side in (("small", 0.1), ("large", 0.6)):
        labels = {f"{i}.png": f"0 0.5 0.5 {side + i / 50} {side}\n" for i in range(6)}
        write_set(tmp_path / name, labels, "train: images\nnames: [cat]\n")
    return [str(tmp_path / "small"), str(tmp_path / "large")]


def test_the_table_holds_what_compare_with_source_says(sets, tmp_path, capsys):
    assert gap_study.main(["--data", *sets, "--out", str(tmp_path / "gap")]) == 0
    rows = pd.read_csv(tmp_path / "gap" / ROWS)
    assert rows.columns.tolist() == COLUMNS
    assert rows["data"].tolist() == ["small"] * 8 + ["large"] * 8 and set(rows["images"]) == {6}
    found = compare_with_source(statistics(sets[0]))
    small = rows[rows["data"] == "small"].set_index("distribution")
    assert small.index.tolist() == [*LAYOUT, *LOOK]
    assert np.allclose(small["distance"], found.distances["distance"], atol=1e-5)
    for part, expected in (("look", found.look), ("layout", found.layout)):
        table = small[small["of"] == part].assign(beyond_noise=lambda t: t["distance"] > t["noise"])
        assert abs(gap(table) - expected) < 1e-5
    assert set(json.loads((tmp_path / "gap" / ABOUT).read_text(encoding="utf-8"))) == {"command", "source"}
    assert "small" in capsys.readouterr().out


def test_a_mistake_is_a_sentence_and_writes_nothing(sets, tmp_path, capsys):
    assert gap_study.main(["--data", sets[0], str(tmp_path / "nowhere"), "--out", str(tmp_path / "gap")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "gap").exists()


def test_the_packaged_table_has_every_distribution_of_three_real_sets():
    rows = recorded_rows("gap")
    assert rows.columns.tolist() == COLUMNS
    assert rows.groupby("data")["distribution"].apply(list).to_dict() == {
        name: [*LAYOUT, *LOOK] for name in ("bccd", "deeppcb", "mask")
    }
    assert rows[["distance", "noise"]].stack().between(0, 1).all()
