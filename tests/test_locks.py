"""One holder at a time, whether threads or processes, and none that outlives its process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from yolo_ft.data.catalog import locks
from yolo_ft.data.catalog.locks import locked

HOLD = """
import sys
from pathlib import Path
from yolo_ft.data.catalog.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_free_lock_leaves_nothing_behind(tmp_path):
    with locked(tmp_path / "set"):
        assert [file.name for file in tmp_path.iterdir()] == [".set.lock"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "set"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path / "no" / "set"):
        pass


def test_threads_enter_one_after_the_other(tmp_path):
    inside, most, order = [0], [0], []

    def work(number):
        for _ in range(3):
            with locked(tmp_path / "set"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                order.append(number)
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] and sorted(order) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    """The last holder removes the file between our opening and our locking: we would hold what nobody else can see."""
    usual, tries = locks._try, []

    def late(handle):
        if not tries:
            (tmp_path / ".set.lock").unlink()
        tries.append(handle)
        return usual(handle)

    monkeypatch.setattr(locks, "_try", late)
    with locked(tmp_path / "set"):
        assert (tmp_path / ".set.lock").exists() and len(tries) == 2


@pytest.mark.parametrize("end", ["close", "kill"])
def test_another_process_is_waited_for_until_it_is_done_or_dead(tmp_path, end, capsys):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "set")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        entered = threading.Event()

        def enter():
            with locked(tmp_path / "set"):
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.3)
        other.stdin.close() if end == "close" else other.kill()
        thread.join(30)
        assert entered.is_set()
    assert "set is being fetched by another process: waiting for it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
