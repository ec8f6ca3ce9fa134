"""The facts of the catalogue: complete, consistent, and equal to what other packages publish."""

from __future__ import annotations

import pytest
from torchvision.datasets.voc import DATASET_YEAR_DICT

from yolo_ft import DEFAULT_WEIGHTS, load_checkpoint
from yolo_ft.cli import main
from yolo_ft.data.catalog.fetch import ALGORITHMS
from yolo_ft.data.catalog.public_sets import COCO_CLASSES, SETS, VOC_CLASSES


def test_the_classes_of_coco_are_those_of_its_checkpoints():
    assert dict(enumerate(COCO_CLASSES)) == load_checkpoint(DEFAULT_WEIGHTS).names
    assert len(VOC_CLASSES) == 20 and list(VOC_CLASSES) == sorted(VOC_CLASSES)


@pytest.mark.parametrize("entry", SETS.values(), ids=SETS)
def test_every_set_says_what_it_is_and_where_that_stands(entry):
    assert SETS[entry.name] is entry and entry.name == entry.name.lower()
    assert entry.about and entry.licence and entry.classes and len(set(entry.classes)) == len(entry.classes)
    assert entry.pages and all(page.startswith(("https://", "http://host.robots.ox.ac.uk/")) for page in entry.pages)
    assert entry.archives and entry.images and set(entry.images) <= {"train", "val", "test"}
    assert bool(entry.folders) != bool(entry.needs)
    assert not entry.folders or set(entry.images) <= set(entry.folders) <= {"train", "val", "test"}
    for archive in entry.archives:
        protected = archive.url.startswith("https://") or (archive.digest and len(archive.digest) == 64)
        assert protected and archive.size > 0
        assert archive.digest is None or len(archive.digest) in ALGORITHMS
        assert archive.name.endswith((".zip", ".tar", ".tar.gz")), "its suffix says how it is checked"
    text = str(entry)
    assert entry.licence in text and entry.about in text and f"classes: {len(entry.classes)}" in text


def test_the_list_says_whose_hash_is_published(capsys):
    assert main(["data", "list"]) == 0
    lines = [line.split("  ")[-1] for line in capsys.readouterr().out.splitlines() if "http" in line]
    known = ["coco-val2017", "voc2007", "voc2012"]
    assert lines == ["hash published" if name in known else "hash recorded at the first download" for name in SETS]


def test_no_two_archives_share_a_place():
    names = [archive.name for entry in SETS.values() for archive in entry.archives]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "years"), [("voc2007", ["2007", "2007-test"]), ("voc2012", ["2012"])])
def test_voc_is_what_torchvision_publishes(name, years):
    published = [DATASET_YEAR_DICT[year] for year in years]
    assert [(each.url, each.name, each.digest) for each in SETS[name].archives] == [
        (each["url"], each["filename"], each["md5"]) for each in published
    ]
