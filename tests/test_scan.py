"""Which format a folder has, and the sentences for what is none."""

from __future__ import annotations

import pytest
from annotation_sets import coco_text, draw, voc_xml, write

from yolo_ft.core.errors import UserError
from yolo_ft.data.formats.coco import CocoSet
from yolo_ft.data.formats.scan import open_source, scan
from yolo_ft.data.formats.voc import VocFolder
from yolo_ft.data.formats.yolo import DataSpec

COCO = coco_text([(1, "a.png", 60, 100)], [(1, 1, [1, 1, 5, 5])], {1: "x"})
VOC = voc_xml("a.png", [("x", 2, 2, 9, 9)])
YAML = "train: .\nnames: [x]\n"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"data.yaml": YAML}, DataSpec),
        ({"data.yaml": YAML, "Annotations/a.xml": VOC, "annotations/instances_train.json": COCO}, DataSpec),
        ({"anything.yml": YAML}, DataSpec),
        ({"obj.data": "names = obj.names\ntrain = train.txt", "obj.names": "x", "train.txt": ""}, DataSpec),
        ({"classes.txt": "x", "labels/a.txt": ""}, DataSpec),
        ({"Annotations/a.xml": VOC}, VocFolder),
        ({"a.xml": VOC}, VocFolder),
        ({"train/a.xml": VOC, "valid/a.xml": VOC}, VocFolder),
        ({"annotations/instances_train.json": COCO}, CocoSet),
        ({"annotations/train.json": COCO}, CocoSet),
        ({"train/_annotations.coco.json": COCO}, CocoSet),
        ({"result.json": COCO}, CocoSet),
        ({"train.json": COCO, "notes.json": "{}"}, CocoSet),
        ({"train.json": "{}", "Annotations/a.xml": VOC}, VocFolder),
        ({"instances_default.json": COCO}, CocoSet),
    ],
)
def test_the_format_of_a_folder_is_told_by_its_files(tmp_path, files, kind):
    for name, text in files.items():
        write(tmp_path / "set" / name, text)
    source = open_source(tmp_path / "set")
    assert isinstance(source, kind) and source.name in ("set", "anything")


def test_folders_and_files_of_no_known_format(tmp_path):
    with pytest.raises(UserError, match=r"data.yaml.*Pascal VOC.*COCO.*CVAT.*Label Studio.*holds none"):
        open_source(tmp_path)
    for name in ("set.zip", "notes.txt"):
        with pytest.raises(UserError, match="no data.yaml and no COCO file.*unpacked folder"):
            open_source(write(tmp_path / name, "x"))
    with pytest.raises(UserError, match="is no folder"):
        open_source(tmp_path, images=tmp_path / "set.zip")


def test_a_scan_counts_and_keeps_the_order(tmp_path):
    images = [(2, "b.png", 60, 100), (1, "a.png", 60, 100), (3, "c.png", 60, 100)]
    for _, name, *_ in images:
        draw(tmp_path / name)
    boxes = [(1, 1, [1, 1, 5, 5]), (1, 1, [9, 9, 5, 5]), (3, 1, [1, 1, 5, 5])]
    write(tmp_path / "x.json", coco_text(images, boxes, {1: "x"}))
    found = scan(open_source(tmp_path / "x.json"), "train")
    assert [record.key for record in found.records] == ["b.png", "a.png", "c.png"]
    assert (found.health.images, found.health.objects, found.health.background) == (3, 3, 1)
    with pytest.raises(UserError, match="no 'val:' entry"):
        scan(open_source(tmp_path / "x.json"), "val")
