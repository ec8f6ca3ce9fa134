"""Signposts for users of Ultralytics: an attribute that they look for, and what to use here instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from yolo_ft.core.errors import UserError


class ElsewhereError(UserError, AttributeError):
    """An attribute that has another name here, or no counterpart; `hasattr` is False for it."""


class Signposts:
    """Mixin: an attribute in `elsewhere` (name -> what to use instead) is missed with a sentence."""

    elsewhere: ClassVar[Mapping[str, str]] = {}

    def __getattr__(self, name: str) -> object:
        kind = type(self).__name__
        if name in type(self).elsewhere:
            raise ElsewhereError(f"{kind} has no '{name}' here: {type(self).elsewhere[name]}.")
        raise AttributeError(f"'{kind}' object has no attribute '{name}'", name=name, obj=self)
