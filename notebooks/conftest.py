"""A guard for the strict check: nbval compares nothing in a cell that was stored without having been run."""

from __future__ import annotations

import pytest


def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail a notebook cell that holds code but no execution count, instead of letting it pass without a comparison."""
    if type(item).__name__ != "IPyNbCell" or item.options["skip"]:
        return
    if item.cell.source.strip() and item.cell.execution_count is None:
        pytest.fail(
            "this cell was stored without being run, so nothing would be compared: run `yolo-ft notebooks refresh`",
            pytrace=False,
        )
