"""Names of people's files and classes in figures: as they are, in any script that an installed font has."""

from __future__ import annotations

import functools

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text

FAMILIES = (  # the first is matplotlib's own; the others come with Linux, Windows and macOS and have more scripts
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI", "Leelawadee UI", "Segoe UI Symbol"),
    *("PingFang SC", "Hiragino Sans GB", "Apple SD Gothic Neo", "Arial Unicode MS"),
)


def drawable(text: str) -> str:
    """The text with every letter that no font here has as its number, `\\u7ec6`: better than an empty box."""
    known = frozenset().union(*_fonts().values())
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in text)


def plain(figure: Figure) -> Figure:
    """The figure with all its texts as they are: `$` begins no formula, and every letter finds a font that has it."""
    for text in figure.findobj(Text):
        text.set(parse_math=False, fontfamily=list(_fonts()))
    return figure


@functools.cache
def _fonts() -> dict[str, frozenset[int]]:
    """{family: the letters that it has} of the families that are installed."""
    installed = {font.name for font in fontManager.ttflist}
    return {name: frozenset(get_font(findfont(name)).get_charmap()) for name in FAMILIES if name in installed}
