"""data="coco8": found, or downloaded, unpacked and ready to load, as a whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import faulty_server
import pytest
import yaml
from PIL import Image

from yolo_ft.cli import main
from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog import catalog, locks, remote
from yolo_ft.data.catalog.public_sets import SETS
from yolo_ft.data.dataset import load_dataset, load_splits

CHILD = """
import os, sys
from dataclasses import replace
from yolo_ft.data.catalog import catalog
entry = catalog.SETS["coco8"]
catalog.SETS["coco8"] = replace(entry, archives=(replace(entry.archives[0], url=sys.argv[1]),))
if sys.argv[2:] == ["die"]:
    catalog._complete = lambda *_: os._exit(9)  # as a kill does: nothing is tidied
print(catalog.get("coco8"))
"""
XML = """<annotation><filename>{0}.jpg</filename><size><width>60</width><height>40</height><depth>3</depth></size>
<object><name>{1}</name><difficult>0</difficult><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>25</ymax>
</bndbox></object></annotation>"""


def picture(shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (60, 40), (shade, 90, 90)).save(stream, "JPEG")
    return stream.getvalue()


def yolo_zip(top: str = "coco8/", splits=("train", "val"), **more: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        for split in splits:
            for i in range(2):
                opened.writestr(f"{top}images/{split}/{i}.jpg", picture(i))
                opened.writestr(f"{top}labels/{split}/{i}.txt", f"{79 * i} 0.5 0.5 0.2 0.5\n")
        for name, content in more.items():
            opened.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves every archive of the catalogue from here; the cache is an empty folder."""
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSE", 0)
    monkeypatch.chdir(tmp_path)
    with faulty_server.running() as running:
        for name, entry in SETS.items():
            local = [replace(each, url=f"{running.address}/{each.name}", digest=None) for each in entry.archives]
            monkeypatch.setitem(SETS, name, replace(entry, archives=tuple(local)))
        running.files["/coco8.zip"] = yolo_zip()
        yield running


@pytest.fixture
def store(server, tmp_path):
    return tmp_path / "cache" / "datasets"


def child(server, repository, *more: str) -> subprocess.Popen:
    """Another process that gets coco8."""
    command = [sys.executable, "-c", CHILD, f"{server.address}/coco8.zip", *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(repository)}
    )


def test_an_empty_machine_has_every_set_to_get_and_none_here(server, store, capsys):
    table = catalog.table()
    assert table.name.tolist() == list(SETS) and not table.here.any()
    assert table.set_index("name").loc["bccd", ["images", "classes", "MB"]].tolist() == [364, 3, 8]
    assert main(["data", "list"]) == 0
    said = capsys.readouterr().out
    assert all(line in said for line in ("coco8", "MIT", str(store), SETS["bccd"].pages[0]))
    assert not store.exists() and not server.asked and max(map(len, said.splitlines()[:-1])) <= 120


def test_names_of_the_catalogue_and_others():
    assert catalog.find("cells") is catalog.find("./coco8") is catalog.find("") is catalog.find("my/coco8.yaml") is None
    with pytest.raises(UserError, match="no set 'coc8' in the catalogue: did you mean 'coco8'"):
        catalog.get("coc8")
    with pytest.raises(UserError, match="no set 'xyz' in the catalogue: there are coco8, coco128"):
        catalog.get("xyz")


def test_a_name_becomes_a_data_set(server, store, capsys):
    train = load_dataset("coco8.yaml")
    assert (len(train), train.name, train.num_classes, train.names[79]) == (2, "coco8", 80, "toothbrush")
    assert train.target(1).boxes.tolist() == [[24, 10, 36, 30]] and train.target(1).labels.tolist() == [79]
    said = capsys.readouterr().err
    assert said.index("Licence: labels CC BY 4.0") < said.index("coco8.zip: "), "the licence comes first"
    assert len(load_dataset("COCO8", "val")) == 2 and set(load_splits("coco8")) == {"train", "val"}
    assert capsys.readouterr().err == "" and [path for path, _ in server.asked] == ["/coco8.zip"]
    assert sorted(file.name for file in store.iterdir()) == ["coco8", "coco8.zip.sha256"]
    assert catalog.table().set_index("name").here["coco8"] == "yes"


def test_the_folder_says_where_it_is_from(server, store):
    server.files["/coco8.zip"] = yolo_zip("set-1.0/data/", **{"set-1.0__LICENSE": b"MIT", "README.md": b"!"})
    folder = catalog.get("coco8")
    assert folder == store / "coco8"
    assert sorted(file.name for file in folder.iterdir()) == [
        *("LICENSE", "README.md", "catalog.json", "data.yaml", "images", "labels")
    ]
    content = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert content["train"] == "images/train" and len(content["names"]) == 80 and "path" not in content
    record = json.loads((folder / "catalog.json").read_text(encoding="utf-8"))
    assert record["licence"] == SETS["coco8"].licence and record["pages"] == list(SETS["coco8"].pages)
    assert record["archives"][0]["sha256"] == (store / "coco8.zip.sha256").read_text(encoding="utf-8").split()[0]
    assert record["archives"][0]["published"] is None


def test_a_local_folder_of_the_same_name_comes_first(server, tmp_path):
    (tmp_path / "coco8").mkdir()
    with pytest.raises(UserError, match="holds none"):
        load_dataset("coco8")
    assert not server.asked


def test_get_puts_a_set_where_it_is_told(server, store, tmp_path, capsys):
    server.files["/coco8.zip"] = yolo_zip(top="")
    assert main(["data", "get", "coco8", "--to", "my sets"]) == 0
    folder = tmp_path / "my sets" / "coco8"
    assert str(folder.relative_to(tmp_path)) in capsys.readouterr().out
    assert len(load_dataset(folder)) == 2 and not (store / "coco8").exists()
    assert main(["data", "get", "coco8", "--to", "my sets"]) == 0 and len(server.asked) == 1
    assert main(["data", "get", "coco"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_folder_of_the_users_is_never_touched(server, tmp_path):
    mine = tmp_path / "sets" / "coco8"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="exists already and is no set of the catalogue"):
        catalog.get("coco8", to=tmp_path / "sets")
    assert [file.name for file in mine.iterdir()] == ["notes.txt"] and not server.asked
    (mine / "notes.txt").unlink()
    assert catalog.get("coco8", to=tmp_path / "sets") == mine and (mine / "data.yaml").is_file()


def test_offline_is_one_sentence_and_the_archive_by_hand_is_used_and_kept(server, store, capsys):
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError) as caught:
        load_dataset("coco8.yaml")
    text = str(caught.value)
    assert text.startswith("coco8.zip is not on this machine and cannot be fetched") and "\n" not in text
    assert f"download {server.address}/coco8.zip in a browser and put it at {store / 'coco8.zip'}" in text
    assert text.endswith("then start again (offline you can use data='cells').")
    assert "Licence" in capsys.readouterr().err and list(store.iterdir()) == []
    (store / "coco8.zip").write_bytes(yolo_zip())
    assert len(load_dataset("coco8.yaml")) == 2
    assert (store / "coco8.zip").is_file()


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        (yolo_zip(**{"..__evil.txt": b"x"}), "leads out of its folder"),
        (
            yolo_zip(splits=["train"]),
            "no longer holds images/train and images/val: its publisher has changed it",
        ),
        (yolo_zip()[:2000], "is no zip archive"),
        (b"<html>log in</html>", "is no zip archive"),
    ],
)
def test_a_bad_archive_leaves_no_folder(server, store, archive, sentence):
    server.files["/coco8.zip"] = archive
    with pytest.raises(UserError, match=sentence):
        catalog.get("coco8")
    assert {file.name for file in store.iterdir()} <= {".coco8.zip.downloaded", "coco8.zip"}
    assert not (store.parent / "evil.txt").exists() and not catalog.table().here.any()


def test_an_interrupted_unpacking_leaves_no_folder_and_needs_no_second_download(server, store, monkeypatch):
    def stop(archive, folder, only):
        (folder / "half.jpg").write_bytes(b"x")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(catalog, "extract", stop)
        catalog.get("coco8")
    assert sorted(file.name for file in store.iterdir()) == [".coco8.zip.downloaded", "coco8.zip"]
    assert len(load_dataset("coco8")) == 2 and len(server.asked) == 1
    assert sorted(file.name for file in store.iterdir()) == ["coco8", "coco8.zip.sha256"]


def test_what_a_killed_process_leaves_is_used_and_cleared_away(server, store, repository):
    with child(server, repository, "die") as killed:
        assert killed.wait(60) == 9
    assert {".coco8.unpacking", "coco8.zip"} < {file.name for file in store.iterdir()}
    (store / ".coco8.unpacking" / "old.txt").write_bytes(b"")
    assert not (catalog.get("coco8") / "old.txt").exists() and len(server.asked) == 1
    assert sorted(file.name for file in store.iterdir()) == ["coco8", "coco8.zip.sha256"]


def test_an_archive_by_hand_in_place_of_a_download_is_kept(server, store):
    server.files["/coco8.zip"] = yolo_zip(splits=["train"])
    with pytest.raises(UserError, match="no longer holds"):
        catalog.get("coco8")
    (store / "coco8.zip").write_bytes(yolo_zip())
    os.utime(store / "coco8.zip", (0, 0))
    catalog.get("coco8")
    assert sorted(file.name for file in store.iterdir()) == ["coco8", "coco8.zip", "coco8.zip.sha256"]


def test_the_hash_of_a_damaged_first_copy_is_not_recorded(server, store):
    good = yolo_zip()
    server.files["/coco8.zip"] = good[:300] + bytes(50) + good[350:]
    with pytest.raises(UserError, match="is truncated or damaged .*: delete it to download it again"):
        catalog.get("coco8")
    (store / "coco8.zip").unlink()
    server.files["/coco8.zip"] = good
    assert len(load_dataset("coco8")) == 2


def test_an_archive_far_larger_than_its_page_says_is_refused(server, store, monkeypatch):
    monkeypatch.setattr(catalog, "SLACK", 0)
    server.files["/coco8.zip"] = yolo_zip(noise=bytes(2_100_000))
    with pytest.raises(UserError, match="more than the 2,000,000 that fit: it was refused"):
        catalog.get("coco8")


def test_a_place_that_cannot_be_written_is_a_sentence(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written .*--to DIR"):
        catalog.get("coco8", to=tmp_path / "file")


def test_a_cache_that_cannot_be_written_is_named(server, store, tmp_path, monkeypatch):
    usual = catalog.locked

    def locked(path):
        if store in path.parents:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return usual(path)

    monkeypatch.setattr(catalog, "locked", locked)
    with pytest.raises(UserError) as caught:
        catalog.get("coco8", to=tmp_path / "sets")
    assert str(caught.value).startswith(f"{store} cannot be written (Read-only file system): set YOLO_FT_CACHE")


def test_two_processes_get_a_set_once(server, store, repository):
    both = [child(server, repository) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == [f"{store / 'coco8'}\n"] * 2
    assert len(server.asked) == 1 and sorted(file.name for file in store.iterdir()) == ["coco8", "coco8.zip.sha256"]


def test_nobody_removes_the_archive_that_another_unpacks(server, store, tmp_path, monkeypatch):
    """The second starts while the first unpacks; if it does not wait, it unpacks when the first is done."""
    usual, second_is_on, first_is_done = catalog.extract, threading.Event(), threading.Event()
    second = threading.Thread(target=catalog.get, args=("coco8", tmp_path / "second"))

    def extract(*arguments):
        if second.ident is None:
            second.start()
            assert second_is_on.wait(60)
        else:
            second_is_on.set()
            assert first_is_done.wait(60)
        return usual(*arguments)

    monkeypatch.setattr(catalog, "extract", extract)
    monkeypatch.setattr(locks, "time", SimpleNamespace(sleep=lambda _: second_is_on.set() or first_is_done.wait(60)))
    catalog.get("coco8", tmp_path / "first")
    first_is_done.set()
    second.join(60)
    assert all((tmp_path / name / "coco8" / "data.yaml").is_file() for name in ("first", "second"))
    assert [file.name for file in store.iterdir()] == ["coco8.zip.sha256"]


def voc_tar(top: str, lists: dict[str, list[str]]) -> bytes:
    """A tar as the VOC devkit is laid out."""
    files = {f"ImageSets/Main/{split}.txt": "".join(f"{stem}\n" for stem in stems) for split, stems in lists.items()}
    for stem in {stem for stems in lists.values() for stem in stems}:
        files |= {f"Annotations/{stem}.xml": XML.format(stem, "cat"), f"JPEGImages/{stem}.jpg": picture()}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as opened:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_voc_is_put_together_from_its_archives(server):
    top = "VOCdevkit/VOC2007"
    lists = {"train": ["000001", "000002"], "val": ["000003"], "trainval": ["000001", "000002", "000003"]}
    server.files["/VOCtrainval_06-Nov-2007.tar"] = voc_tar(top, lists)
    server.files["/VOCtest_06-Nov-2007.tar"] = voc_tar(top, {"test": ["000004"]})
    folder = catalog.get("voc2007")
    assert sorted(file.stem for file in (folder / "Annotations").iterdir()) == [f"00000{i}" for i in (1, 2, 3, 4)]
    assert {file.stem for file in (folder / "ImageSets" / "Main").iterdir()} == {"train", "val", "trainval", "test"}
    sizes = {split: len(dataset) for split, dataset in load_splits("voc2007").items()}
    assert sizes == {"train": 2, "val": 1, "test": 1}
    assert load_dataset("voc2007").target(0).boxes.tolist() == [[10, 5, 30, 25]]


def test_of_the_annotations_of_coco_only_those_of_its_validation_images_are_kept(server):
    content = {
        "images": [{"id": 7, "file_name": "000007.jpg", "width": 60, "height": 40}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 90, "bbox": [10, 5, 20, 20], "iscrowd": 0}],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
    }
    both = {f"annotations/instances_{split}2017.json": json.dumps(content).encode() for split in ("train", "val")}
    server.files["/annotations_trainval2017.zip"] = yolo_zip(splits=[], **both)
    server.files["/val2017.zip"] = yolo_zip(splits=[], **{"val2017/000007.jpg": picture()})
    folder = catalog.get("coco-val2017")
    assert sorted(file.name for file in folder.rglob("*.*")) == ["000007.jpg", "catalog.json", "instances_val2017.json"]
    dataset = load_dataset("coco-val2017.yaml", "val")
    assert dataset.names == {0: "person", 1: "toothbrush"}
    assert dataset.target(0).boxes.tolist() == [[10, 5, 30, 25]] and dataset.target(0).labels.tolist() == [1]


def test_bccd_as_its_repository_is_packed_holds_what_the_catalogue_says(server, real_data):
    stream, top = io.BytesIO(), "BCCD_Dataset-1.0/BCCD"
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr("BCCD_Dataset-1.0/LICENSE", "MIT License")
        for file in sorted((real_data / "bccd_voc").rglob("*.*")):
            opened.write(file, f"{top}/{file.relative_to(real_data / 'bccd_voc').as_posix()}")
        for file in sorted((real_data / "bccd" / "images").iterdir()):
            opened.write(file, f"{top}/JPEGImages/{file.name}")
    server.files["/bccd.zip"] = stream.getvalue()
    splits = load_splits("bccd")
    assert {split: len(dataset) for split, dataset in splits.items()} == SETS["bccd"].images
    assert tuple(splits["train"].names.values()) == SETS["bccd"].classes
    assert (catalog.get("bccd") / "LICENSE").is_file()
