"""What each action of `yolo-ft data` does. Imports stay inside the functions: an action pays only for what it uses."""

from __future__ import annotations

from functools import partial
from typing import Any

from yolo_ft.core.errors import UserError


def check(
    data: str,
    images: str | None,
    origin: int,
    imgsz: int,
    out: str | None,
    weights: str | None,
    groups: str | None,
    table: str | None,
) -> int:
    """Print what is wrong with a data set, worst first; with `out`, also write the report with pictures there.

    `groups` and `table`: what else must not be in two splits, as for `group_labels`. Exit code 1 when a finding costs
    accuracy for certain (level error).
    """
    from yolo_ft.data.checks.check import check as check_data
    from yolo_ft.data.conversion.whole_set import source_folders
    from yolo_ft.data.folders import free_place
    from yolo_ft.data.splits.metadata import NAMES, NEAR_DUPLICATES, group_labels

    always = (None, NAMES, NEAR_DUPLICATES)  # what every check looks for, the last as copies and look-alikes
    if table is not None and groups in always:
        raise UserError(f"Nothing asks for a column of {table}: name one with --group.")
    asked = None if groups in always else partial(group_labels, what=groups, table=table)
    if out is not None:
        free_place(out, source_folders(data, images))  # before the minutes that large sets take
    model = None
    if weights is not None:
        from yolo_ft.api import YOLO

        model = YOLO(weights)
    report = check_data(data, imgsz, model, images, origin, asked)
    if out is not None:
        from yolo_ft.report.health_pictures import write_check

        files = write_check(report, out)
    print(report)
    if out is not None:
        print("", *files, sep="\n")
    return int(report.errors > 0)


def fix(data: str, out: str) -> None:
    """Write a repaired copy of a data set, and print what was changed and what is left for a person."""
    from yolo_ft.data.checks.repair import fix as fix_data

    print(fix_data(data, out))


def show_catalog() -> int:
    """Print the sets that can be downloaded by name, and which of them are here."""
    from yolo_ft.data.catalog.catalog import sets_folder, table
    from yolo_ft.data.catalog.public_sets import SETS

    print(f"{'name':18}{'here':6}{'images':>7}{'classes':>9}{'MB':>7}  licence")
    for row in table().itertuples(index=False):
        print(f"{row.name:18}{row.here:6}{row.images:7,}{row.classes:9}{row.MB:7,}  {row.licence}")
    print()
    for entry in SETS.values():
        print(f"{entry.name:18}{entry.about}\n{'':18}{entry.pages[0]}  {entry.hashes}")
    print(f"\n`yolo-ft data get NAME` puts a set into {sets_folder()}; data='cells' needs no download.")
    return 0


def get(name: str, to: str | None) -> int:
    """Download a set of the catalogue, unless it is there already, and print its folder."""
    from yolo_ft.data.catalog import catalog

    folder = catalog.get(name, to)
    print(f"{folder}\nUse it with: --data {name if to is None else folder}")
    return 0


def stats(data: str, images: str | None, origin: int, imgsz: int, out: str | None) -> None:
    """Print the statistics of a data set and its gap to the source; with `out`, write them and their figures there."""
    from yolo_ft.data.conversion.whole_set import source_folders
    from yolo_ft.data.dataset import load_splits
    from yolo_ft.data.files import write_json_atomic
    from yolo_ft.data.folders import free_place, new_folder
    from yolo_ft.data.statistics.domain_gap import compare_with_source
    from yolo_ft.data.statistics.source import beside_coco
    from yolo_ft.data.statistics.stats import statistics
    from yolo_ft.report import data_plots
    from yolo_ft.report.lessons import png

    if out is not None:
        free_place(out, source_folders(data, images))
    measured = statistics(data, imgsz, images, origin)
    gap, published = compare_with_source(measured), beside_coco(measured)
    print(f"{measured}\n\n{published.to_string(float_format=_short, na_rep='-')}\n\n{gap}")
    if out is None:
        return
    shown = max(load_splits(data, images, origin).values(), key=bool)  # the first that holds an image
    figures = {
        "overview": data_plots.overview(measured),
        "samples": data_plots.contact_sheet(shown),
        "cooccurrence": data_plots.cooccurrence_chart(measured),
        "source": data_plots.gap_chart(gap),
    }
    content = {**measured.to_dict(), "gap": gap.to_dict(), "published": published.to_dict("index")}
    with new_folder(out) as folder:
        for name, figure in figures.items():
            (folder / f"{name}.png").write_bytes(png(figure))
        write_json_atomic(folder / "statistics.json", content)
    print(f"\nstatistics.json and {', '.join(f'{name}.png' for name in figures)} in {out}")


def convert(data: str, to: str, out: str, images: str | None, origin: int) -> None:
    """Write a data set in another format into a new folder, and print what the format cannot hold."""
    from yolo_ft.data.conversion.convert import convert as convert_data

    print(convert_data(data, out, to, images, origin))


def tile(data: str, out: str, size: int, overlap: float, min_visible: float, images: str | None, origin: int) -> None:
    """Cut the images of a data set into tiles with their boxes, as a YOLO folder, and print what became of them."""
    from yolo_ft.data.conversion.tiling import tile as tile_data

    print(tile_data(data, out, size, overlap, min_visible, images, origin))


def split(data: str, out: str, folds: int | None, leaks: str | None, **settings: Any) -> None:
    """Write new splits as lists of images and print how alike they are; `settings` are those of `split` and `folds`.

    `leaks`: what must not be in two splits; None for all that can be looked for without knowing the data set.
    """
    from yolo_ft.data.conversion.whole_set import source_folders
    from yolo_ft.data.folders import free_place
    from yolo_ft.data.splits import split as splitting
    from yolo_ft.data.splits.metadata import EXIF, NAMES, NEAR_DUPLICATES, group_labels
    from yolo_ft.data.splits.report import split_report

    asked, table = settings["groups"], settings["table"]
    wanted = (NEAR_DUPLICATES, NAMES) if leaks is None else (leaks,)
    if table is not None and {asked, settings["times"], *wanted} <= {None, "none", NEAR_DUPLICATES, NAMES, EXIF}:
        raise UserError(f"Nothing asks for a column of {table}: name one with --group, --time or --leaks.")
    free_place(out, source_folders(data))
    if folds is None:
        made = [splitting.split(data, **settings)]
    elif settings.pop("val") is not None:
        raise UserError("With --folds every image is validated once: leave --val out.")
    else:
        made = splitting.folds(data, folds, **settings)
    looked = {} if asked is None else {asked: made[0].groups}  # a test split that stays may tear them
    looked |= {by: group_labels(made[0].dataset, by, table) for by in wanted if by not in ("none", asked)}
    files = [made[0].write(out)] if folds is None else splitting.write_folds(made, out)
    for fold in made:
        found = looked or {None: None}
        report, *others = (
            split_report(fold.dataset, fold.indices, labels, by, fold.how) for by, labels in found.items()
        )
        if folds is None:
            print(report.table.to_string(float_format="{:.1%}".format, na_rep="-"))
        print(report, *(other.leakage for other in others), sep="\n")
    print(*files, sep="\n")


def _short(value: float) -> str:
    """At most two decimals, none for a whole number: counts and shares stand in one column."""
    return f"{value:,.2f}".removesuffix(".00")
