"""Finished runs as one table, and what a difference between them is worth. Reads folders only. Lesson 05.

A run belongs to an arm: what was frozen, which weights training began with, and the settings in which runs differ
that agree in both (`lr0`, `views`, ...). Arms are compared seed by seed.
"""

from __future__ import annotations

import glob
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

import pandas as pd

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.hyp import AUGMENTATION, PRESETS
from yolo_ft.finetune.runs import CONFIG, RESULTS, SUMMARY, Run

SEEDS_FOR_A_CLAIM = 5
COLUMNS = (
    "name",
    "arm",
    "seed",
    "map50",
    "map50_95",
    "final_map50",
    "final_map50_95",
    "train_seconds",
    "images_per_s",
    "peak_memory_mb",
    "backward_bytes_per_image",
    "frozen_share",
    "data",
    "imgsz",
    "epochs",
)
MEASURED = COLUMNS[3:12]
# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom (any statistics table).
T_QUANTILES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
COST_NOTE = "Seconds and memory are not comparable"
BUDGET = ("data", "imgsz", "epochs", "batch")  # what arms of one comparison normally share
# Settings that say where a run was made, not what it did; `freeze` and `weights` name the arm.
HOUSEKEEPING = {
    *("seed", "name", "project", "device", "workers", "cache", "resolved", "precision", "freeze", "weights"),
    "prefix_cache",
}
TOLD_APART = 3  # more settings than that do not fit into the name of an arm


def paired_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high): mean of paired differences and its 95 % interval by Student's t; at least two values.

    Above 31 values the interval stays that of 30 degrees of freedom: at most 4 % too wide, never too narrow.
    """
    if len(differences) < 2:
        raise ValueError(f"An interval needs at least two differences, not {len(differences)}.")
    mean = statistics.fmean(differences)
    quantile = T_QUANTILES[min(len(differences) - 1, len(T_QUANTILES)) - 1]
    half = quantile * statistics.stdev(differences) / math.sqrt(len(differences))
    return mean, mean - half, mean + half


def find_runs(sources: Run | str | Path | Iterable[Run | str | Path]) -> list[Run]:
    """The runs that `sources` name: runs, run folders, folders that contain run folders, patterns ("runs/bccd-*").

    Each run once, in the order given, inside a folder by name. Raises UserError for a source that holds no run.
    """
    if isinstance(sources, Run | str | Path):
        sources = [sources]
    found: dict[Path, Run] = {}
    for source in sources:
        runs = [source] if isinstance(source, Run) else [Run(path) for path in _run_folders(source)]
        if not runs:
            raise UserError(f"There is no run in {source}; give run folders, or the folder that contains them.")
        for run in runs:
            found.setdefault(run.path.resolve(), run)
    if not found:
        raise UserError("There is nothing to compare; give at least one run folder.")
    return list(found.values())


def _run_folders(source: str | Path) -> list[Path]:
    """`source` if it is a run folder, else the run folders right inside it; also for every match of a pattern."""
    path = Path(source).expanduser()
    if path.is_dir():
        return [path] if _is_run(path) else sorted(child for child in path.iterdir() if _is_run(child))
    matches = [Path(match) for match in sorted(glob.glob(str(path)))]
    return [folder for match in matches if match.is_dir() for folder in _run_folders(match)]


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in (CONFIG, RESULTS, SUMMARY))


def read_runs(runs: Sequence[Run]) -> tuple[pd.DataFrame, list[str]]:
    """The finished ones among `runs` as a table, one row each (`COLUMNS`), and sentences about what to beware of.

    Arms come in the order of their frozen share, then of `runs`; seeds ascend. map50 and map50_95 are those of the
    best epoch, final_* those of the last. What a run does not tell is NaN.
    Raises UserError when no run is finished.
    """
    rows, kept, skipped = [], [], []
    for run in runs:
        try:
            rows.append(read_run(run))
            kept.append(run)
        except UserError as error:
            skipped.append(f"{run.name}: {error}")
    if not rows:
        raise UserError(f"No run is finished. {'; '.join(skipped)}")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["arm"] = _told_apart(table["arm"].tolist(), kept)
    for i in table.index[table["name"].duplicated(keep=False)]:  # runs of a grid share a name, their folders differ
        table.loc[i, "name"] = f"{kept[i].path.resolve().parent.name}/{table.loc[i, 'name']}"
    shares = table.groupby("arm", sort=False)["frozen_share"].first().fillna(0).sort_values(kind="stable")
    table["arm"] = pd.Categorical(table["arm"], shares.index)  # so that sorting goes by frozen share
    table = table.sort_values(["arm", "seed"], kind="stable")
    kept = [kept[i] for i in table.index]
    table = table.reset_index(drop=True).astype({"arm": object})
    notes = [f"Skipped {len(skipped)} of {len(runs)} runs. {'; '.join(skipped)}"] if skipped else []
    return table, notes + _cautions(table, kept)


def read_run(run: Run) -> dict:
    """One row of the table. Raises UserError for a run that is not finished, broken, or was never validated."""
    summary = run.summary
    if summary.get("stopped", "finished") not in ("finished", "early"):
        raise UserError(f"it did not finish: {summary['stopped']}")
    best, final = (summary.get(key) if isinstance(summary.get(key), dict) else {} for key in ("best", "final"))
    if not math.isfinite(_number(best.get("map50_95"))):
        raise UserError("it was trained without validation, so it has no accuracy")
    if not isinstance(summary.get("seed"), int):
        raise UserError("its summary.json names no seed")
    row = {name: _number(summary.get(name)) for name in MEASURED}
    row |= {name: _number(best.get(name)) for name in ("map50", "map50_95")}
    row |= {f"final_{name}": _number(final.get(name)) for name in ("map50", "map50_95")}
    row |= {name: summary.get(name) for name in ("seed", "data", "imgsz", "epochs")}
    return {"name": run.name, "arm": arm_label(summary), **row}


def arm_label(summary: dict) -> str:
    """What distinguishes a run from those it is compared with, e.g. "freeze 10, packaged weights"."""
    freeze, frozen = str(summary.get("freeze") or "none"), summary.get("frozen_parameters")
    if freeze == "none" and frozen:  # frozen by the user before training, so the setting does not tell
        freeze = str(summary.get("freeze_label") or f"{frozen} parameters").split(" (")[0]
    weights = PureWindowsPath(str(summary.get("weights") or ""))  # splits at both kinds of slash
    if weights.suffix in (".yaml", ".yml"):
        return f"freeze {freeze}, random {weights.stem}"
    return f"freeze {freeze}, {weights.name or 'packaged weights'}"


def _told_apart(labels: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """The labels, each with the settings in which runs of the same label differ ("..., lr0 0.01"), if these are few."""
    told = list(labels)
    for label in dict.fromkeys(labels):
        places = [place for place, own in enumerate(labels) if own == label]
        settings = _by_preset([_choices(runs[place]) for place in places])
        differing = _differing(settings)
        if len(differing) <= TOLD_APART:
            for place, own in zip(places, settings, strict=True):
                told[place] = ", ".join([label, *(f"{key} {own.get(key)}" for key in differing)])
    return told


def _by_preset(settings: list[dict]) -> list[dict]:
    """The settings; where the augmentation of each is a preset, with its name in place of its many numbers."""
    presets = {tuple(preset[key] for key in AUGMENTATION): name for name, preset in PRESETS.items()}
    names = [presets.get(tuple(own.get(key) for key in AUGMENTATION)) for own in settings]
    if None in names:
        return settings
    others = [{key: value for key, value in own.items() if key not in AUGMENTATION} for own in settings]
    return [{**own, "augmentation": name} for own, name in zip(others, names, strict=True)]


def _choices(run: Run) -> dict:
    """The settings of a run that a study may vary: all but the budget and what only says where it was made."""
    return {key: value for key, value in _optional(run, "config").items() if key not in HOUSEKEEPING | {*BUDGET}}


def _number(value: object) -> float:
    """A number as float; anything else, None included, as NaN."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _cautions(table: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """Sentences about runs that should not be compared as they are."""
    notes, told = [], set()
    settings = [_settings(run) for run in runs]
    for arm, rows in table.groupby("arm", sort=False):
        differing = _differing([settings[i] for i in rows.index])
        told |= set(differing)
        if differing:
            notes.append(f"The runs of the arm '{arm}' are not comparable: they differ in {_listed(differing)}.")
        twice = sorted(rows["seed"][rows["seed"].duplicated()].unique())
        if twice:
            names = ", ".join(rows["name"][rows["seed"].isin(twice)])
            notes.append(f"The arm '{arm}' has seed {', '.join(map(str, twice))} more than once ({names}): averaged.")
    across = _differing([{key: each.get(key) for key in BUDGET if key not in told} for each in settings])
    if across:
        notes.append(f"The arms differ in {_listed(across)}, not only in what is frozen and where they began.")
    machines = _differing([_machine(run) for run in runs])
    if machines:
        notes.append(f"{COST_NOTE}: the runs differ in {_listed(machines)}.")
    return notes


def _settings(run: Run) -> dict:
    """What must agree within an arm: hyper-parameters, network and data (by content where the run recorded it)."""
    summary, config = run.summary, _optional(run, "config")
    names = ("imgsz", "epochs", "batch", "model", "num_classes", "frozen_parameters")
    settings = {name: summary[name] for name in names if name in summary}
    settings |= {name: value for name, value in config.items() if name not in HOUSEKEEPING}
    return {**settings, "data": _optional(run, "environment").get("data") or summary.get("data")}


def _machine(run: Run) -> dict:
    """What seconds and bytes depend on beside the run itself."""
    about = {**_optional(run, "environment"), **run.summary}
    return {key: about.get(key) for key in ("processor", "device_name", "threads", "precision_mode")}


def _optional(run: Run, part: str) -> dict:
    """`run.config` or `run.environment`; empty where unreadable, because the run's numbers do not need it."""
    try:
        return getattr(run, part)
    except UserError:
        return {}


def _differing(mappings: Sequence[dict]) -> dict[str, list[str]]:
    """The keys that have more than one value, with their values as text."""
    keys = dict.fromkeys(key for mapping in mappings for key in mapping)
    values = {key: list(dict.fromkeys(str(mapping[key]) for mapping in mappings if key in mapping)) for key in keys}
    return {key: found for key, found in values.items() if len(found) > 1}


def _listed(differing: dict[str, list[str]]) -> str:
    """Keys with their values where these are short: "epochs (10, 25), data"."""
    texts = {key: ", ".join(values) for key, values in differing.items()}
    return ", ".join(f"{key} ({text})" if len(text) <= 60 else key for key, text in texts.items())
