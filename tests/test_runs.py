"""Run folders: never overwritten, never half written, readable anywhere."""

import gc
import json
import math
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml

from yolo_ft.core.errors import UserError
from yolo_ft.data import files
from yolo_ft.data.files import atomic_path, plain, write_json_atomic, write_text_atomic, write_yaml_atomic
from yolo_ft.finetune import machine
from yolo_ft.finetune.runs import RESULT_COLUMNS, Run, new_run_folder


def test_names_count_up_and_nothing_is_overwritten(tmp_path):
    first = new_run_folder(tmp_path / "new" / "project", "cells")
    (first / "kept.txt").write_text("kept", encoding="utf-8")
    names = [new_run_folder(first.parent, "cells").name for _ in range(3)]
    assert [first.name, *names] == ["cells", "cells-2", "cells-3", "cells-4"]
    assert (first / "kept.txt").read_text(encoding="utf-8") == "kept"
    (first.parent / "cells-5").write_text("a file in the way", encoding="utf-8")
    assert new_run_folder(first.parent, "cells").name == "cells-6"


def test_threads_get_folders_of_their_own(tmp_path):
    made = []
    threads = [threading.Thread(target=lambda: made.append(new_run_folder(tmp_path, "x"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == len(made) == 12


@pytest.mark.parametrize("name", ["", ".", "..", " ", "a/b", "..\\up", "C:x", "a*", "a?", " a", "a\n"])
def test_names_that_are_no_folder(tmp_path, name):
    with pytest.raises(UserError, match="cannot name a run folder"):
        new_run_folder(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_names_with_spaces_and_umlauts(tmp_path):
    run = Run.create(tmp_path / "Läufe für alle", "Zellen, 1. Versuch")
    run.write_config({"data": "Bücher"})
    assert Run(run.path).config == {"data": "Bücher"}


def test_project_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("", encoding="utf-8")
    with pytest.raises(UserError):
        new_run_folder(tmp_path / "runs", "x")


def test_missing_folder_and_missing_files(tmp_path):
    with pytest.raises(UserError, match="no run folder"):
        Run(tmp_path / "nowhere")
    run = Run.create(tmp_path, "empty")
    assert list(run.history.columns) == list(RESULT_COLUMNS) and len(run.history) == 0
    for read in ("config", "summary", "environment"):
        with pytest.raises(UserError, match="finished run"):
            getattr(run, read)
    with pytest.raises(UserError, match="'best' or 'last'"):
        run.weights("first")
    assert "0 epochs so far" in repr(run)


def test_broken_files_are_told_in_a_sentence(tmp_path):
    run = Run.create(tmp_path, "broken")
    (run.path / "summary.json").write_text('{"best": {"map', encoding="utf-8")
    (run.path / "config.yaml").write_text("a: [1, 2", encoding="utf-8")
    (run.path / "environment.json").write_text("[1]", encoding="utf-8")
    for read in ("config", "summary", "environment"):
        with pytest.raises(UserError, match="copy the run folder"):
            getattr(run, read)
    (run.path / "config.yaml").write_text("!!python/object/apply:os.getcwd []", encoding="utf-8")
    with pytest.raises(UserError, match="valid YAML"):
        print(run.config)


def test_weights_path(tmp_path):
    run = Run.create(tmp_path, "w")
    assert run.weights() == run.path / "weights" / "best.pt"
    run.weights("last").write_bytes(b"x")  # the folder is there


def test_config_and_summary_round_trip(tmp_path):
    run = Run.create(tmp_path, "r")
    config = {"z": 1, "freeze": [(5, "backbone"), (20, None)], "lr0": 1e-05, "path": Path("a/b"), "n": np.int64(3)}
    run.write_config(config)
    assert run.config == {"z": 1, "freeze": [[5, "backbone"], [20, None]], "lr0": 1e-05, "path": "a/b", "n": 3}
    assert list(run.config) == list(config)  # in the order written
    run.write_summary({"best": {"map50": np.float32(0.5), "map50_95": math.nan}, "name": "Zählung"})
    assert run.summary == {"best": {"map50": 0.5, "map50_95": None}, "name": "Zählung"}
    text = (run.path / "summary.json").read_text(encoding="utf-8")
    assert "NaN" not in text and "Zählung" in text
    assert yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8")) == run.config


def test_history_rows(tmp_path):
    run = Run.create(tmp_path, "h")
    loss = 0.1 + 0.2
    run.append_result({"epoch": 1, "phase": 0, "loss": loss, "map50": None, "precision": math.nan})
    run.append_result({"epoch": 2, "phase": 0, "loss": np.float64(1 / 3), "map50": np.float64(0.25), "extra": "text"})
    history = run.history
    assert history["epoch"].tolist() == [1, 2]
    assert history["loss"].tolist() == [loss, 1 / 3]  # every digit survives
    assert math.isnan(history["map50"][0]) and history["map50"][1] == 0.25
    assert list(history.columns) == [*RESULT_COLUMNS, "extra"]
    first_line = (run.path / "results.csv").read_bytes().split(b"\n")[0].decode()
    assert first_line == ",".join([*RESULT_COLUMNS, "extra"])


def test_resume_drops_later_rows(tmp_path):
    """A resumed run writes the bytes of an uninterrupted one."""
    straight, resumed = Run.create(tmp_path, "a"), Run.create(tmp_path, "b")
    rows = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, 6)]
    for row in rows:
        straight.append_result(row)
    for row in [*rows[:4], *rows[2:]]:  # killed after 4 epochs, resumed from the checkpoint of epoch 2
        resumed.append_result(row)
    assert (resumed.path / "results.csv").read_bytes() == (straight.path / "results.csv").read_bytes()


def test_run_shows_its_state(tmp_path):
    run = Run.create(tmp_path, "a&b")
    run.append_result({"epoch": 1})
    assert "1 epochs so far" in repr(run)
    run.write_summary({"epochs": 25, "best": {"epoch": 24, "map50": 0.8123, "map50_95": 0.4449}})
    assert repr(run) == f"Run({run.path.as_posix()!r}): 25 epochs, best mAP50 0.812, mAP50-95 0.445 in epoch 25"
    assert "a&amp;b" in run._repr_html_() and "0.812" in run._repr_html_()


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json_atomic(path, {"a": 1})
    with pytest.raises(TypeError, match="plain value"):
        write_json_atomic(path, {"a": object()})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_json_atomic(path, {"a": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_held_for_a_moment_is_waited_for(tmp_path, monkeypatch):
    replace, waits = files.os.replace, []

    def held_twice(source, target):
        if len(waits) < 2:
            raise PermissionError
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", held_twice)
    monkeypatch.setattr(files.time, "sleep", waits.append)
    write_text_atomic(tmp_path / "x.txt", "new")
    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == "new" and len(waits) == 2
    waits.clear()
    monkeypatch.setattr(files.time, "sleep", lambda _: None)
    with pytest.raises(PermissionError):
        write_text_atomic(tmp_path / "x.txt", "never")
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_text_is_utf8_with_lf(tmp_path):
    write_text_atomic(tmp_path / "x.txt", "ä\nb\n")
    assert (tmp_path / "x.txt").read_bytes() == "ä\nb\n".encode()


def test_plain_values(tmp_path):
    value = {"t": (1, 2), "r": range(3), "s": {3, 1}, "a": np.eye(2, dtype=np.float32), "b": np.bool_(True), 1: None}
    expected = {"t": [1, 2], "r": [0, 1, 2], "s": [1, 3], "a": [[1.0, 0.0], [0.0, 1.0]], "b": True, 1: None}
    assert plain(value) == expected
    write_yaml_atomic(tmp_path / "x.yaml", value)
    assert yaml.safe_load((tmp_path / "x.yaml").read_text(encoding="utf-8")) == expected


def test_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = machine.environment("cpu", data_digest="ab" * 32)
    assert json.loads(json.dumps(found)) == found
    assert found["torch"] and found["numpy"] and found["faster-coco-eval"] and found["processor"]
    assert found["device"] == "cpu" and found["threads"] >= 1 and found["logical_cores"] >= 1
    assert found["data"] == "ab" * 32
    assert found["git_commit"] is None
    text = json.dumps(found)
    assert str(tmp_path) not in text and str(Path.home()) not in text


def test_git_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    try:
        subprocess.run([*command, "init", "-q"], check=True)
    except FileNotFoundError:
        pytest.skip("needs git")
    assert machine.git_commit() is None  # a repository without a commit
    subprocess.run([*command, "add", "a.txt"], check=True)
    subprocess.run([*command, "commit", "-q", "-m", "a"], check=True)
    commit = machine.git_commit()
    assert len(commit) == 40
    (tmp_path / "untracked.txt").write_text("a", encoding="utf-8")
    assert machine.git_commit() == commit
    (tmp_path / "a.txt").write_text("b", encoding="utf-8")
    assert machine.git_commit() == commit + "-dirty"


def test_no_git_installed(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(machine.subprocess, "run", missing)
    assert machine.git_commit() is None
    assert machine.processor_name()


def test_peak_memory_sees_an_allocation():
    gc.collect()  # else garbage of other tests may go inside the block, and hide what comes
    with machine.PeakMemory(interval=0.001) as memory:
        before = memory.peak_mb
        block = np.ones(25_000_000)  # 200 MB, touched
        inside = memory.peak_mb
        del block
    assert inside - before > 190
    assert memory.peak_mb >= inside
    assert memory.start_mb > 0
    with machine.PeakMemory(interval=0.001) as again:  # a new block of code does not inherit the old peak
        assert again.peak_mb <= again.start_mb + 10


def test_a_slow_look_of_the_thread_does_not_undo_the_peak(monkeypatch):
    looking, seen = threading.Event(), threading.Event()

    def reading() -> float:
        if threading.current_thread().name != "peak-memory":
            return 100.0 if looking.is_set() else 1.0
        looking.set()  # the thread has begun to look, and ends after the block has seen its peak
        assert seen.wait(10)
        return 1.0

    monkeypatch.setattr(machine, "anonymous_mb", reading)
    memory = machine.PeakMemory(interval=0.001)
    with memory:
        assert looking.wait(10)
        assert memory.peak_mb == 100.0
        monkeypatch.setattr(machine, "anonymous_mb", lambda: 1.0)
        seen.set()
    assert memory.peak_mb == 100.0


def test_peak_memory_is_watched_by_its_thread():
    gc.collect()
    with machine.PeakMemory(interval=0.001) as memory:
        before, seen, block = memory.start_mb, threading.Event(), np.ones(25_000_000)
        for _ in range(1000):  # the thread looks by itself; a busy machine may let it wait
            if memory._peak_mb - before > 190:
                break
            seen.wait(0.01)
        del block
    assert memory.peak_mb - before > 190


def test_peak_memory_thread_ends_with_its_block():
    with pytest.raises(RuntimeError), machine.PeakMemory():
        raise RuntimeError
    assert "peak-memory" not in [thread.name for thread in threading.enumerate()]
