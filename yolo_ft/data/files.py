"""Writing files so that a kill, a full disk or a power cut leaves the old file or the new one, never half of one."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path` when the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # same folder: os.replace cannot cross disks
    try:
        yield temporary
        _replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    """os.replace, tried for a second: on Windows a virus scanner or a viewer can hold `path` for a moment."""
    for _ in range(5):
        try:
            return os.replace(temporary, path)
        except PermissionError:
            time.sleep(0.2)
    os.replace(temporary, path)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with LF line ends on every system, all of it or nothing."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json_atomic(path: str | Path, value: Any) -> None:
    """Write `value` (see `plain`) as indented JSON. NaN and infinities become null, which every JSON reader accepts."""
    write_text_atomic(path, json.dumps(_finite(plain(value)), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_yaml_atomic(path: str | Path, value: Mapping) -> None:
    """Write a mapping (see `plain`) as YAML that holds plain values only, in the order of its keys."""
    write_text_atomic(path, yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))


def plain(value: Any) -> Any:
    """`value` made of dicts, lists, strings, numbers, booleans and None only; paths become text, tuples lists."""
    if isinstance(value, np.generic | np.ndarray):  # first: np.float64 is a float too
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {key if isinstance(key, int | str) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [plain(item) for item in sorted(value)]
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} is no plain value: {value!r}")


def _finite(value: Any) -> Any:
    """`value` (plain) with every NaN and infinity replaced by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
