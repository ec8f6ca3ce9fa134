"""A CSV file with what is known about the images: its first column names them, the others say something. Lesson 06."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from yolo_ft.core.errors import UserError

SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Table:
    """`headings`: one per column; `rows`: their cells, where an image may have many rows, such as one per object."""

    path: Path
    headings: list[str]
    rows: list[list[str]]

    @classmethod
    def read(cls, path: str | Path) -> Table:
        """The table of a CSV file. Raises UserError for what is none."""
        path = Path(path)
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read as a table ({error}): give a CSV file, saved as UTF-8.") from None
        separator = max(SEPARATORS, key=(lines or [""])[0].count)
        cells = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator) if row]
        if len(cells) < 2 or len(cells[0]) < 2:
            raise UserError(
                f"{path} needs a heading and two columns at least, the first with the names of the images, and a row "
                "for each of them."
            )
        return cls(path, cells[0], cells[1:])

    @property
    def columns(self) -> list[str]:
        """What can be asked of it: all headings but the first, and none that is blank."""
        return [heading for heading in self.headings[1:] if heading]

    def values(self, column: str, keys: Sequence[str]) -> list[str | None]:
        """What `column` says about the images `keys`, None where the table does not name one.

        Raises UserError where two columns have this heading, where it says two things about one image, where one name
        fits two images, and where none fits any.
        """
        if (count := self.columns.count(column)) > 1:
            raise UserError(f"{self.path} has {count} columns called '{column}': rename all but one of them.")
        names, index = self._names(keys), self.headings.index(column, 1)
        said: dict[str, str] = {}
        for row in self.rows:
            name = _plain(row[0])
            if len(row) > index and said.setdefault(name, row[index]) != row[index]:
                raise UserError(f"{self.path} gives {name} two values of '{column}': correct one of the rows.")
        return [said.get(name) for name in names]

    def _names(self, keys: Sequence[str]) -> list[str | None]:
        """How the table calls each image."""
        listed = {_plain(row[0]) for row in self.rows}
        names = [next((form for form in _forms(key) if form in listed), None) for key in keys]
        first = f"The first column of {self.path}, '{self.headings[0]}', has to name the images"
        if keys and not any(names):
            raise UserError(
                f"{first}, but none is called what stands there: the first row has '{self.rows[0][0]}', the first "
                f"image is '{keys[0]}'. Write paths there, or file names, as the images have them."
            )
        owners: dict[str, str] = {}
        for key, name in zip(keys, names, strict=True):
            if name is not None and owners.setdefault(name, key) != key:
                raise UserError(
                    f"{first}, but '{name}' fits {owners[name]} and {key}: write as much of their paths there as tells "
                    "them apart."
                )
        return names


def _plain(name: str) -> str:
    """A path as Windows or a shell writes it, as `Dataset.keys` have it."""
    return name.replace("\\", "/").removeprefix("./")


def _forms(key: str) -> list[str]:
    """How a table may call an image: by its path, an end of the path, the file name, or that without suffix."""
    path = PurePosixPath(key)
    return [key, *("/".join(path.parts[i:]) for i in range(1, len(path.parts))), path.stem]
