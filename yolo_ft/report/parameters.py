"""The parameters of a lesson: names, types and help as its `parameters` cell declares them; values from text.

A declaration reads `epochs: int = 3  # passes over the data`. papermill's own reader does not see an annotation that
contains `|`, and papermill lets a misspelt name or a value of the wrong type through; here both are errors.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from yolo_ft.core.errors import UserError

TAG = "parameters"
WORDS = {"true": True, "false": False, "none": None, "null": None}
# An alternative of an annotation: its name and, for a list, the alternatives of its items. Strictest reading first.
Kind = tuple[str, list]
ORDER = ("None", "bool", "int", "float", "list", "tuple", "str")


@dataclass(frozen=True)
class Parameter:
    """One declared parameter. `annotation` is source text such as `int | None`; `default` is the stored value."""

    name: str
    annotation: str
    default: Any
    help: str

    def convert(self, value: Any) -> Any:
        """`value` (text from a shell, or a Python value) as this parameter's type; UserError where it does not fit."""
        kinds = _kinds(ast.parse(self.annotation, mode="eval").body)
        try:
            return _fit(value, kinds)
        except ValueError:
            message = f"{self.name}={value!r} has the wrong type: {self.name} is declared as {self.annotation}."
            raise UserError(message) from None


def read_parameters(notebook: Mapping[str, Any]) -> dict[str, Parameter]:
    """{name: Parameter} of a notebook (an nbformat node), from its cell tagged `parameters`; empty without one.

    A declaration without an annotation takes the type of its default. Raises UserError where a default is not a
    literal, because such a cell cannot be read without running it.
    """
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code" and TAG in c["metadata"].get("tags", [])]
    found = {}
    for cell in cells[:1]:
        comments = _comments(cell["source"])
        for node in ast.parse(cell["source"]).body:
            if isinstance(node, ast.AnnAssign):
                target, annotation = node.target, ast.unparse(node.annotation).strip("'\"")
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                target, annotation = node.targets[0], ""
            else:
                continue
            name = ast.unparse(target)
            try:
                default = ast.literal_eval(node.value)
            except ValueError:
                raise UserError(f"The default of the parameter {name} is not a plain value; write one.") from None
            annotation = annotation or ("None" if default is None else type(default).__name__)
            found[name] = Parameter(name, annotation, default, comments.get(node.end_lineno, ""))
    return found


def unknown_parameter(name: str, known: list[str]) -> UserError:
    """The error for a parameter that no chosen lesson has; it names the nearest one that exists."""
    near = get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"the chosen lessons have {', '.join(known) or 'none'}."
    return UserError(f"No chosen lesson has a parameter '{name}': {hint}")


def split_list(text: str) -> list[str]:
    """The items of `a,b,c`; commas inside brackets do not split, so `[0,1],10` has two items."""
    items, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            items.append(text[start:position].strip())
            start = position + 1
    return [*items, text[start:].strip()]


def scalar(text: str) -> Any:
    """Text as the plain value that it looks like: none, true, 3, 1e-3, or itself."""
    return _fit(text, [(name, []) for name in ("None", "bool", "int", "float", "str")])


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def _kinds(node: ast.expr) -> list[Kind]:
    """The alternatives of an annotation. UserError for one that no text can be read as."""
    if isinstance(node, ast.BinOp):  # int | None
        kinds = _kinds(node.left) + _kinds(node.right)
    elif isinstance(node, ast.Subscript):
        base = ast.unparse(node.value).split(".")[-1]
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        inner = [kind for part in parts if ast.unparse(part) != "..." for kind in _kinds(part)]
        unions = {"Optional": [*inner, ("None", [])], "Union": inner}
        kinds = unions.get(base, [(base.lower(), inner)])
    else:
        kinds = [(ast.unparse(node), [])]
    if strange := [name for name, _ in kinds if name not in ORDER]:
        raise UserError(f"A parameter cannot be declared as {strange[0]}: use {', '.join(ORDER)}, or a union of them.")
    return sorted(kinds, key=lambda kind: ORDER.index(kind[0]))


def _fit(value: Any, kinds: list[Kind]) -> Any:
    """`value` as the first alternative that it can be read as; ValueError where there is none."""
    for name, inner in kinds:
        try:
            return _convert_list(value, inner) if name in ("list", "tuple") else _convert(value, name)
        except ValueError:
            continue
    raise ValueError(value)


def _convert(value: Any, name: str) -> Any:
    text = value.strip() if isinstance(value, str) else None
    if name == "str" and text is not None:
        return value
    if name in ("None", "bool") and text is not None:
        value = WORDS.get(text.lower(), text)
    elif name == "int" and text is not None and re.fullmatch(r"[-+]?\d+", text):
        value = int(text)
    elif name == "float" and text is not None:
        value = float(text)
    if name == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value).__name__.removesuffix("Type") == name and name != "str":
        return value
    raise ValueError(value)


def _convert_list(value: Any, inner: list[Kind]) -> list:
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in ("[", "(") and text[-1:] in ("]", ")") and len(split_list(text)) == 1:
            text = text[1:-1]
        value = split_list(text) if text.strip() else []
        inner = inner or [(name, []) for name in ORDER if name != "list" and name != "tuple"]
    if not isinstance(value, list | tuple):
        raise ValueError(value)
    return [_fit(item, inner) for item in value] if inner else list(value)
