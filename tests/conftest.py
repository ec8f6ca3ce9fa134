"""Fixtures that several test files use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_DATA = "YOLO_FT_TEST_DATA"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository root, for tests about files that are not part of the package."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real image sets that the variable YOLO_FT_TEST_DATA names; without it the test is skipped."""
    value = os.environ.get(REAL_DATA)
    if not value:
        pytest.skip(f"needs real images: set {REAL_DATA} to the folder that holds bccd, mask, traps and the others")
    folder = Path(value).expanduser().resolve()
    if not folder.is_dir():
        pytest.skip(f"needs real images: {REAL_DATA} names a folder that does not exist")
    return folder
