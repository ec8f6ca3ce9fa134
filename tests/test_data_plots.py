"""Figures of a data set, and the command that writes them."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from picture_sets import coloured, fingerprint, in_memory, write_set

from yolo_ft.cli import main
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.dataset import load_splits
from yolo_ft.data.statistics.distributions import noise_floor, profile
from yolo_ft.data.statistics.domain_gap import compare_with_source
from yolo_ft.data.statistics.stats import statistics
from yolo_ft.report import data_plots, letters
from yolo_ft.report.lessons import png

FIGURES = {
    "overview": lambda dataset: data_plots.overview(statistics(dataset)),
    "contact_sheet": lambda dataset: data_plots.contact_sheet(dataset),
    "cooccurrence_chart": lambda dataset: data_plots.cooccurrence_chart(statistics(dataset)),
    "gap_chart": lambda dataset: data_plots.gap_chart(compare_with_source(statistics(dataset))),
    "floor_chart": lambda dataset: data_plots.floor_chart(noise_floor(statistics(dataset), repeats=3), "t"),
}
SETS = {
    "several": lambda: coloured(13),
    "one image": lambda: coloured(1),
    "no object": lambda: in_memory([np.zeros((40, 20, 3), np.uint8)] * 2, [Target(), Target()]),
    "nothing": lambda: in_memory([], []),
    "many classes": lambda: in_memory(
        [np.zeros((40, 60, 3), np.uint8)], [Target(np.tile([1, 1, 9, 9], (30, 1)), np.arange(30))], 30
    ),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=list(FIGURES))
@pytest.mark.parametrize("dataset", SETS.values(), ids=list(SETS))
def test_every_figure_draws_and_no_text_is_smaller_than_11_points(make, dataset):
    figure = make(dataset())
    assert png(figure, dpi=40).startswith(b"\x89PNG")
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert min(sizes) >= 11


@pytest.mark.parametrize("make", list(FIGURES.values())[:4], ids=list(FIGURES)[:4])
def test_names_in_other_scripts_and_with_dollars_are_written_as_they_are(make, monkeypatch):
    monkeypatch.setattr(letters, "_fonts", lambda: {"DejaVu Sans": frozenset(range(0x2200))})
    dataset = coloured(6)
    dataset.name, dataset.names = "$x^2$ 细胞", {**dataset.names, 0: "细胞", 1: "$a_b$"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of letters that it cannot draw
        figure = make(dataset)
        png(figure, dpi=40)
    texts = {text.get_text(): text.get_parse_math() for text in figure.findobj(Text) if text.get_text().strip()}
    assert any(r"\u7ec6\u80de" in text for text in texts) and any("$" in text for text in texts)
    assert not any(parsed for text, parsed in texts.items() if "$" in text)


def test_letters_that_a_font_has_stay_and_others_are_told_by_number():
    assert letters.drawable("Zähler Ω 5 µm, $a$") == "Zähler Ω 5 µm, $a$"
    assert letters.drawable("a\nb\U0010ffff") == r"a\nb\U0010ffff"


def test_classes_whose_names_are_cut_to_the_same_keep_their_bars():
    dataset = coloured(12)
    dataset.names = {index: f"a very long class name {index}" for index in dataset.names}
    bars, *_ = data_plots.overview(statistics(dataset)).axes
    assert sorted(bar.get_y() + 0.4 for bar in bars.patches) == list(range(6))


def boxes_of(ax) -> list[list[float]]:
    patches = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    return [patch.get_bbox().extents.tolist() for patch in patches]


def test_samples_are_seeded_and_carry_their_boxes():
    dataset = coloured(9)
    first, again, other = (data_plots.contact_sheet(dataset, count=6, seed=seed) for seed in (3, 3, 4))
    drawn = [boxes_of(ax) for ax in first.axes]
    assert drawn == [boxes_of(ax) for ax in again.axes] != [boxes_of(ax) for ax in other.axes]
    known = [dataset.target(i).boxes.tolist() for i in range(9)]
    assert len(drawn) == 8 and all(boxes in known for boxes in drawn[:6]) and drawn[6:] == [[], []]
    assert len({str(boxes) for boxes in drawn[:6]}) == 6  # no image twice


def test_boxes_stay_in_pixels_of_the_original():
    image, box = np.zeros((600, 1200, 3), np.uint8), [100, 50, 1100, 550]
    (ax,) = data_plots.contact_sheet(in_memory([image], [Target(np.array([box]), np.array([0]))])).axes
    assert boxes_of(ax) == [box] and list(ax.get_images()[0].get_extent()) == [0, 1200, 600, 0]
    assert ax.get_xlabel() == "1 class0"


def test_classes_of_samples_differ_in_colour_and_line():
    labels = np.repeat(np.arange(9), np.arange(9, 0, -1))
    dataset = in_memory([np.zeros((40, 60, 3), np.uint8)], [Target(np.tile([1, 1, 9, 9], (45, 1)), labels)], 9)
    figure = data_plots.contact_sheet(dataset)
    looks = {(str(patch.get_edgecolor()), str(patch.get_linestyle())) for patch in figure.axes[0].patches}
    assert len(looks) == len({color for color, _ in looks}) == len({style for _, style in looks}) == 7
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [*(f"class{k} ({9 - k})" for k in range(6)), "3 other classes"]
    assert figure.axes[0].get_xlabel() == "9 class0, 8 class1, +7"


def test_an_image_that_vanished_leaves_a_gap(tmp_path):
    dataset = load_splits(write_set(tmp_path, {"a.png": "0 0.5 0.5 0.1 0.1"}))["train"]
    (tmp_path / "images" / "a.png").unlink()
    (ax,) = data_plots.contact_sheet(dataset).axes
    assert [text.get_text() for text in ax.texts] == ["cannot be decoded"] and len(boxes_of(ax)) == 1


def test_an_unknown_split():
    with pytest.raises(UserError, match="no split 'test': choose one of train"):
        data_plots.contact_sheet(coloured(2), split="test")


def test_the_sheet_is_of_the_first_split_that_has_an_image(tmp_path):
    file = write_set(tmp_path, {"a.png": ""}, "train: nothing\nval: images\nnames: [x]\n")
    (tmp_path / "nothing").mkdir()
    assert "val: 1 of 1 images" in data_plots.contact_sheet(file).get_suptitle()


def test_cooccurrence_is_read_by_rows():
    labels = ([0, 0, 1], [1], [1, 2])
    targets = [Target(np.tile([0, 0, 5, 5], (len(each), 1)), np.array(each)) for each in labels]
    found = statistics(in_memory([np.zeros((20, 20, 3), np.uint8)] * 3, targets, 4))
    ax = data_plots.cooccurrence_chart(found).axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["class1 (3)", "class0 (1)", "class2 (1)"]
    assert [text.get_text() for text in ax.texts] == ["100", "33", "33", "100", "100", "0", "100", "0", "100"]
    assert len(data_plots.cooccurrence_chart(found, classes=2).axes[0].texts) == 4


def test_the_overview_shows_its_numbers():
    found = statistics(coloured(8))
    classes, counts, sizes, *_ = data_plots.overview(found, profile(found)).axes
    assert sum(bar.get_width() for bar in classes.patches) == 16
    _, own, source = counts.patches
    assert own.get_data().values.tolist() == source.get_data().values.tolist() == [0, 0, 100, 0, 0, 0, 0, 0, 0]
    assert [line.get_xdata()[0] * 640 for line in sizes.get_lines()] == [32, 96]


def test_the_spread_chart_has_a_dot_for_every_value_and_the_guess():
    rows = {"a": [0.1, 0.1, 0.3], "b": [0.2], "c": []}
    ax = data_plots.spread_chart(rows, "share", wanted=0.2, guess=0.5).axes[0]
    dots = {name: line.get_xdata().tolist() for name, line in zip(rows, ax.lines, strict=False)}
    assert dots == rows and len(set(ax.lines[0].get_ydata())) == 3
    assert [text.get_text() for text in ax.get_yticklabels()] == list(rows)
    assert ax.lines[3].get_xdata() == [0.2, 0.2] and ax.lines[4].get_xdata().tolist() == [0.5]


def test_the_gap_chart_shows_distances_and_noise():
    found = compare_with_source(statistics(coloured(30)))
    ax = data_plots.gap_chart(found).axes[0]
    assert [bar.get_width() for bar in ax.patches] == found.distances["distance"].tolist()
    assert ax.get_lines()[0].get_xdata().tolist() == found.distances["noise"].tolist()
    assert len({bar.get_hatch() for bar in ax.patches}) == 2


@pytest.fixture
def data(tmp_path):
    """A data set in files, with a class that nothing shows."""
    labels = {f"{i}.png": f"0 0.5 0.5 0.{i + 1} 0.5" for i in range(4)} | {"empty.png": ""}
    return write_set(tmp_path / "set", labels)


def test_the_command_prints_and_changes_nothing(data, capsys):
    before = fingerprint(data.parent)
    assert main(["data", "stats", str(data.parent), "--imgsz", "320"]) == 0
    out = capsys.readouterr().out
    for words in ("at imgsz 320", "train", "dog", "Lin et al. 2014", "beyond_noise", "cocodataset.org"):
        assert words in out
    assert fingerprint(data.parent) == before


def test_the_command_writes_into_a_new_folder(data, tmp_path, capsys):
    out = tmp_path / "report" / "set"
    assert main(["data", "stats", str(data), "--out", str(out)]) == 0
    files = {path.name for path in out.iterdir()}
    assert files == {"statistics.json", "overview.png", "samples.png", "cooccurrence.png", "source.png"}
    content = json.loads((out / "statistics.json").read_text(encoding="utf-8"))
    assert content["splits"]["train"]["objects"] == 4 and content["classes"]["train"]["dog"]["size_median"] is None
    assert content["gap"]["source"].startswith("COCO") and content["published"]["objects per image"]["coco"] == 7.7
    before = fingerprint(out)
    assert main(["data", "stats", str(data), "--out", str(out)]) == 2
    assert "is not empty: name a new folder" in capsys.readouterr().err and fingerprint(out) == before


def test_mistakes_are_one_sentence(tmp_path, capsys):
    assert main(["data", "stats", str(tmp_path / "none.yaml")]) == 2
    assert main(["data", "stats", "cells", "--imgsz", "-1"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
