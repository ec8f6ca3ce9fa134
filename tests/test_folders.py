"""New folders: complete or absent, never over or inside what is there."""

from __future__ import annotations

import os

import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.data.folders import free_place, new_folder


def test_absent_and_empty_places_are_free(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent", "a/b/c"):
        with new_folder(tmp_path / name) as folder:
            assert folder.is_dir() and folder != tmp_path / name
            (folder / "file").write_text("content", encoding="utf-8")
        assert [path.name for path in (tmp_path / name).iterdir()] == ["file"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "absent", "empty"]


def test_what_is_there_stays(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("content", encoding="utf-8")
    for place in (tmp_path / "data", tmp_path / "data" / "file"):
        with pytest.raises(UserError, match="is not empty: name a new folder"):
            free_place(place)
    for place in ("data/inside", "other/../data/a/b"):
        with pytest.raises(UserError, match="which stays as it is: name a folder elsewhere"):
            free_place(tmp_path / place, [tmp_path / "data"])


def test_a_place_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("content", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be made .*: name a folder elsewhere"), new_folder(tmp_path / "file/x"):
        pass


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("content", encoding="utf-8")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_that_cannot_be_replaced_is_filled(tmp_path, monkeypatch):
    for name in ("real", "here"):
        (tmp_path / name).mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    monkeypatch.chdir(tmp_path / "here")
    for place in (tmp_path / "link", "."):
        with new_folder(place) as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / "file").write_text("content", encoding="utf-8")
    assert (tmp_path / "link").is_symlink() and os.listdir() == ["inner"]  # the working folder is still this one
    for name in ("real", "here"):
        assert [path.relative_to(tmp_path / name).as_posix() for path in (tmp_path / name).rglob("*")] == [
            "inner",
            "inner/file",
        ]


def test_a_name_that_is_too_long_is_a_sentence(tmp_path):
    for place in (tmp_path / ("x" * 300), tmp_path / ("x" * 250)):
        with pytest.raises(UserError, match="cannot be made .*: name a folder elsewhere"), new_folder(place):
            pass


def test_a_place_that_is_taken_meanwhile_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be made"), new_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "file").write_text("somebody else's", encoding="utf-8")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "file"]
