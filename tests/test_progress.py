"""The bar over many images: the items as they are, and a bar only where somebody watches."""

from __future__ import annotations

import io
import sys

import pytest

from yolo_ft.data import progress as module
from yolo_ft.data.progress import progress


@pytest.mark.parametrize("terminal", [False, True])
def test_a_bar_on_a_terminal_only(terminal, monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(module, "PATIENCE", 0)
    assert list(progress([], 0, "nothing")) == []
    assert list(progress(iter("abc"), 3, "reading train")) == ["a", "b", "c"]
    assert ("reading train" in screen.getvalue()) == terminal


def test_no_bar_for_short_work(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(progress(range(100), 100, "reading")) == list(range(100))
    assert "%" not in screen.getvalue()
