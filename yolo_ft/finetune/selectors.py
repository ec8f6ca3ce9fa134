"""What people write to name a part of a network -> the exact parameters that they mean. Lesson 02.

    10                    layers 0-9 (also "10", as a shell or papermill hands it over)
    [10], [0, 1, 5]       exactly these layers (also "[10]", "0,1,5")
    "0-9,13"              layer ranges, both ends included
    "backbone", "neck", "head", "all-but-head"
    "model.23.cv2"        a module or a parameter by its path
    "*.bn.*"              a pattern; `*` alone between dots spans one or more components
    None, "none", 0, []   nothing

Lists mix all of these. Paths match whole dotted components, so `model.1` is never `model.10`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from numbers import Integral

from yolo_ft.core.errors import UserError
from yolo_ft.models.detector import Detector

ALL_BUT_HEAD = "all-but-head"


@dataclass(frozen=True)
class Selection:
    """The parameters meant, the layers chosen as such (not through a path), and canonical text that parses back."""

    names: frozenset[str]
    layers: frozenset[int]
    text: str


def layer_parameters(model: Detector) -> list[frozenset[str]]:
    """The parameter names of every layer, by layer index."""
    return [
        frozenset(name for name, _ in layer.module.named_parameters(prefix=f"model.{layer.index}"))
        for layer in model.layers
    ]


def layer_index(name: str) -> int:
    """The layer that a parameter belongs to: `model.10.conv.weight` -> 10."""
    return int(name.split(".")[1])


def ranges_text(indices: Iterable[int]) -> str:
    """{0, 1, 2, 13} -> "0-2,13"."""
    runs: list[list[int]] = []
    for i in sorted(indices):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)


def spec_text(spec: object) -> str:
    """What was written, as text that means the same: None -> "none", 10 -> "10", [10] -> "[10]"."""
    items, is_list = split_spec(spec)
    text = ",".join(items) or "none"
    return f"[{text}]" if is_list and len(items) == 1 and _is_integer(text) else text


def split_spec(spec: object) -> tuple[list[str], bool]:
    """(selectors as text, whether they came as a list). A lone number means a layer count only outside a list."""
    if spec is None:
        return [], False
    if isinstance(spec, str):
        text = spec.strip()
        is_list = text.startswith("[") and text.endswith("]")
        items = _split_text(text[1:-1]) if is_list and text[1:-1].strip() else [] if is_list else _split_text(text)
        is_list = is_list or len(items) > 1
    elif isinstance(spec, Iterable) and not isinstance(spec, Mapping):
        items = [text for item in spec if item is not None for text in _split_text(_item_text(item))]
        is_list = True
    else:
        items, is_list = [_item_text(spec)], False
    return [item for item in items if item.lower() != "none"], is_list


def _split_text(text: str) -> list[str]:
    items = [item.strip(" '\"") for item in text.split(",")]
    if "" in items:
        raise UserError(f"freeze='{text}' has an empty selector; write for example 10, 'backbone' or '0-9,13'.")
    return items


def _item_text(item: object) -> str:
    if isinstance(item, bool):
        raise UserError(f"freeze={item} is no selection: write a number of layers (10), a stage ('backbone') or None.")
    if isinstance(item, Integral):
        return str(int(item))
    if isinstance(item, str):
        return item
    raise UserError(f"freeze cannot use {item!r}: write whole numbers, stages ('backbone') or paths ('model.23.cv2').")


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"-?\d+", text) is not None


def select(model: Detector, spec: object) -> Selection:
    """Resolve `spec` (see the module's table) on `model`.

    Raises `UserError` for layers that do not exist, for values that are no selection (bool, float), and for a
    selector that matches no parameter; the message names the nearest one that does.
    """
    items, is_list = split_spec(spec)
    by_layer = layer_parameters(model)
    layers: set[int] = set()
    words: list[str] = []
    names: set[str] = set()
    numbers: set[int] = set()
    for item in items:
        if _is_integer(item) and not is_list:
            return _first_layers(int(item), by_layer)
        indices = _layer_indices(model, item)
        if indices is None:
            pattern = item.rstrip(".")
            matched = _matching(pattern, frozenset().union(*by_layer))
            words.append(pattern)
        else:
            matched = frozenset().union(*(by_layer[i] for i in indices))
            layers |= indices
            if item[0].isdigit():
                numbers |= indices
            else:
                words.append(item.lower())
        if not matched:
            raise UserError(_nothing_matched(model, item, by_layer))
        names |= matched
    text = ",".join(filter(None, [ranges_text(numbers), *dict.fromkeys(words)])) or "none"
    return Selection(frozenset(names), frozenset(layers), f"[{text}]" if _is_integer(text) else text)


def _first_layers(count: int, by_layer: list[frozenset[str]]) -> Selection:
    if not 0 <= count <= len(by_layer):
        raise UserError(f"freeze={count}: this network has {len(by_layer)} layers, so write 0 to {len(by_layer) - 1}.")
    names = frozenset().union(*by_layer[:count])
    return Selection(names, frozenset(range(count)), str(count) if count else "none")


def _layer_indices(model: Detector, item: str) -> set[int] | None:
    """Layer indices of a number, range or stage; None for anything else (a path or pattern)."""
    stage = item.lower()
    if stage == ALL_BUT_HEAD:
        return set(range(len(model.layers))) - set(model.stages["head"])
    if stage in model.stages:
        return set(model.stages[stage])
    bounds = re.fullmatch(r"(-?\d+)(?:\s*-\s*(-?\d+))?", item)
    if bounds is None:
        return None
    first = int(bounds[1])
    last = first if bounds[2] is None else int(bounds[2])
    count = len(model.layers)
    if first < 0 or last >= count or last < first:
        raise UserError(f"freeze: there are no layers '{item}'; they are numbered 0 to {count - 1}, ranges go upwards.")
    return set(range(first, last + 1))


def _matching(pattern: str, names: Iterable[str]) -> frozenset[str]:
    parts = pattern.split(".")
    return frozenset(name for name in names if _covers(parts, name.split(".")))


def _covers(pattern: list[str], path: list[str]) -> bool:
    """Whether the pattern names this path or a module around it, component by component."""
    if not pattern:
        return True
    if not path:
        return False
    if pattern[0] == "*":
        return any(_covers(pattern[1:], path[i:]) for i in range(1, len(path) + 1))
    return fnmatchcase(path[0], pattern[0]) and _covers(pattern[1:], path[1:])


def _nothing_matched(model: Detector, item: str, by_layer: list[frozenset[str]]) -> str:
    names = frozenset().union(*by_layer)
    if item.rstrip(".") in dict(model.named_modules()) or _layer_indices(model, item) is not None:
        return f"freeze: '{item}' has no parameters, so there is nothing to freeze; `layers()` lists what has."
    nearest = _nearest(model, item, names)
    return f"freeze: '{item}' matches no parameter of this network; did you mean '{nearest}'?"


def _nearest(model: Detector, item: str, names: frozenset[str]) -> str:
    """The closest selector that does match: first mended component by component, then by whole text."""
    if _matching(f"model.{item}", names):
        return f"model.{item}"
    vocabulary = sorted({part for name in names for part in name.split(".")})
    parts = item.split(".")
    for i, part in enumerate(parts):
        known = any(fnmatchcase(word, part) for word in vocabulary)
        for close in [] if known else difflib.get_close_matches(part, vocabulary, cutoff=0.3):
            mended = ".".join([*parts[:i], close, *parts[i + 1 :]])
            if _matching(mended, names):
                return mended
    parents = {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count("."))}
    candidates = sorted({*model.stages, ALL_BUT_HEAD, *names, *parents})
    return difflib.get_close_matches(item, candidates, n=1, cutoff=0)[0]
