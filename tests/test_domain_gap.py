"""The gap to the source: what is recorded, what is published, and the rules that make hypotheses of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import source_statistics as recorder
from picture_sets import coloured, in_memory, write_set

from yolo_ft.core.targets import Target
from yolo_ft.data.augmentation.diversity import Diversity, diversity
from yolo_ft.data.dataset import load_splits
from yolo_ft.data.statistics.distributions import LAYOUT, LOOK
from yolo_ft.data.statistics.domain_gap import FAR, NEAR, compare_with_source, gap, suggestions
from yolo_ft.data.statistics.source import FILE, PUBLISHED, Source, beside_coco, packaged_source
from yolo_ft.data.statistics.stats import statistics


def dark(images: int = 50, shade: int = 10):
    """A set of almost equal dark images."""
    pixels = [np.full((64, 64, 3), shade + i % 2, np.uint8) for i in range(images)]
    return statistics(in_memory(pixels, [Target(np.array([[4, 4, 60, 60]]), np.array([0]))] * images, 1))


def test_the_packaged_source_is_whole():
    source = packaged_source()
    assert set(source.profile.shares) == {*LAYOUT, *LOOK}
    for shares in source.profile.shares.values():
        assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert source.summary["images"] == source.profile.images and source.summary["objects"] == source.profile.objects
    assert FILE.stat().st_size < 50_000


def test_every_published_number_says_where():
    for value, cited, _ in PUBLISHED.values():
        assert value > 0 and ("arXiv:1405.0312" in cited or "cocodataset.org" in cited)
    assert sum(PUBLISHED[f"{size} objects"][0] for size in ("small", "medium", "large")) == pytest.approx(0.99)


def test_beside_coco():
    table = beside_coco(dark())
    assert table.loc["objects per image", ["yours", "coco"]].tolist() == [1, 7.7]
    assert table.loc["images with one class", "yours"] == 1 and table.loc["classes with boxes", "yours"] == 1
    two_names = Target(np.array([[4, 4, 60, 60]]), np.array([1]))
    one_used = statistics(in_memory([np.zeros((64, 64, 3), np.uint8)], [two_names], 2))
    assert beside_coco(one_used).loc["classes with boxes", "yours"] == 1
    assert table.loc["medium objects", "yours"] == 1  # 56 x 56 pixels
    source = packaged_source().summary
    assert table.loc["small objects", "source"] == source["small_at_imgsz"]
    assert np.isnan(beside_coco(statistics(in_memory([], []))).loc["small objects", "yours"])


def test_a_set_compared_with_itself_has_no_gap():
    same = coloured(60)
    found = compare_with_source(statistics(same), statistics(same))
    assert (found.look, found.layout) == (0, 0)
    assert not found.distances["beyond_noise"].any()
    assert found.sentence().endswith("; 0 of 8 distributions differ by more than chance.")


def test_another_set_has_one():
    found = compare_with_source(dark(), dark(shade=240))
    assert found.look == pytest.approx(0.5) and found.layout == 0  # brightness and colour of four; nothing of the boxes
    assert found.distances.loc["brightness", ["distance", "beyond_noise"]].tolist() == [1, True]
    assert json.dumps(found.to_dict()) and ", most of all: brightness" in found.sentence()
    told = str(found)
    assert not found.suggestions.empty and "and what tests each:" in told
    for row in found.suggestions.itertuples():
        assert f"because {row.because}\n    tested by {row.tested_by}" in told


def test_noise_is_no_gap():
    table = pd.DataFrame({"distance": [0.4, 0.1, np.nan, 0.8], "noise": [0.2, 0.2, 0.1, np.nan]})
    table["beyond_noise"] = table["distance"] > table["noise"]
    assert gap(table) == pytest.approx(0.2)  # (0.4 + 0) / 2
    assert np.isnan(gap(table.iloc[2:]))


@pytest.mark.parametrize("images", [0, 1])
def test_too_few_images_suggest_nothing(images):
    found = compare_with_source(dark(images))
    assert np.isnan(found.look) and found.suggestions.empty
    assert found.sentence() == "drawn has too few images to tell a gap from chance."
    assert str(found) and json.dumps(found.to_dict())


LESSONS = Path(__file__).parent.parent / "notebooks"
NOTHING = {"look": np.nan, "diversity": Diversity(1, 1, 1.0), "small": np.nan}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, {}),
        ({"look": 0.29}, {"freeze": "freeze=10", "lr0": "5-10 times"}),
        ({"look": NEAR}, {"freeze": "freeze=5", "lr0": "2-5 times"}),
        ({"look": FAR}, {"freeze": "freeze=5", "lr0": "2-5 times"}),
        ({"look": 0.61}, {"freeze": "freeze=3", "lr0": "default rate"}),
        ({"diversity": Diversity(9, 9, 1.0)}, {"augmentation": "light"}),
        ({"diversity": Diversity(300, 200, 60.0)}, {"augmentation": "light"}),
        ({"small": 0.5}, {}),
        ({"small": 0.51}, {"imgsz": "larger"}),
    ],
)
def test_the_rules(given, said):
    table = suggestions(**{**NOTHING, **given}).set_index("setting")
    assert list(table.index) == list(said)
    for setting, words in said.items():
        assert words in table.loc[setting, "hypothesis"]
        assert table.loc[setting, "because"]
        tested_by = table.loc[setting, "tested_by"]
        assert ("two runs" if setting == "imgsz" else "lesson") in tested_by
        for number in re.findall(r"lesson (\d\d)", tested_by):
            assert any(LESSONS.glob(f"{number}_*.ipynb")) != (f"lesson {number} (planned)" in tested_by)


def test_one_diversity_suggests_the_augmentation():
    dataset = coloured(60, size=(320, 320))  # at the size at which `diversity` reads: the same pixels
    found = compare_with_source(statistics(dataset))
    assert found.diversity == diversity(dataset)
    ideas = found.suggestions.set_index("setting")
    assert f"{found.diversity.effective:.1f}" in ideas.loc["augmentation", "because"]


def test_the_recording_repeats(tmp_path, capsys):
    labels = {f"{i}.png": "0 0.5 0.5 0.3 0.4" for i in range(3)}
    data = write_set(tmp_path / "set", labels)
    for name in ("a.json", "b.json"):
        recorder.main(["--data", str(data), "--name", "mine", "--out", str(tmp_path / name)])
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert "3 images and 3 objects" in capsys.readouterr().out
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert content["profile"]["name"] == "mine" and content["command"].startswith("python tests/benchmarks/")
    assert str(tmp_path) not in json.dumps(content)
    assert set(content) - {"command"} == set(Source.of(statistics(data)).to_dict())


def test_the_package_describes_these_photographs(real_data):
    splits = load_splits(real_data / "coco_mini")
    source, labels = packaged_source(), [splits["train"].target(i).labels for i in range(len(splits["train"]))]
    assert (source.profile.images, source.profile.objects) == (len(labels), sum(map(len, labels)))
    assert source.profile.medians["objects per image"] == np.median([len(each) for each in labels])
    held_out = statistics(splits["val"].subset(range(300)))
    found = compare_with_source(held_out)
    assert found.look == found.layout == 0  # other photographs of the same collection


def test_photographs_lie_nearer_than_circuit_boards(real_data):
    sets = {name: load_splits(real_data / name)["val"] for name in ("mask", "bccd", "deeppcb")}
    look = {name: compare_with_source(statistics(dataset)).look for name, dataset in sets.items()}
    assert look["mask"] < NEAR < FAR < min(look["bccd"], look["deeppcb"])
