"""Work spread over threads: in order, with its errors, and torch's own threads as they were."""

import threading

import pytest
import torch

from yolo_ft.core import heap, parallel
from yolo_ft.core.parallel import spread


@pytest.fixture(params=[1, 2, 3, 9])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_order(threads):
    assert list(spread(lambda item: item, [])) == []
    barrier = threading.Event()

    def work(item):
        if item % 2:
            barrier.set()
        elif threads > 1:
            barrier.wait(5)  # an even item ends after its neighbour
        return item * item

    assert list(spread(work, list(range(8)))) == [item * item for item in range(8)]


def test_a_worker_has_its_share_and_the_caller_keeps_its_threads(threads):
    workers = min(threads, parallel.AT_ONCE)
    for share in spread(lambda _: torch.get_num_threads(), list(range(2 * workers))):
        assert share == threads // workers
        assert torch.get_num_threads() == threads
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [threads]


def test_nothing_is_computed_while_the_caller_computes(threads):
    done = []
    for item in spread(lambda item: done.append(item) or item, list(range(9))):
        wave = min(threads, parallel.AT_ONCE)
        assert len(done) == min(9, (item // wave + 1) * wave)


def test_an_error_reaches_the_caller_and_leaves_no_thread(threads):
    def work(item):
        if item == 1:
            raise ValueError("item 1")
        return item

    with pytest.raises(ValueError, match="item 1"):
        list(spread(work, list(range(4))))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("yolo_ft-worker")]


def test_a_caller_that_stops_early_leaves_no_thread(threads):
    results = spread(lambda item: item, list(range(20)))
    assert next(results) == 0
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("yolo_ft-worker")]
    assert torch.get_num_threads() == threads


def test_a_c_library_without_the_setting_is_no_mistake(monkeypatch):
    class Library:
        calls = []

        def mallopt(self, *arguments):
            self.calls.append(arguments)

    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: Library())
    heap.share_heap()
    assert Library.calls == [(-8, 1)]
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: object())
    heap.share_heap()
