"""From measured values to tables: medians over repeats, ours divided by each peer, Markdown.

A sample is (what is compared, who, values); the first value is the one that ratios are taken of.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

Sample = tuple[str, str, dict]
OURS = "ours"  # how names of our rows begin; all others are peers


def compare(samples: Sequence[Sample]) -> list[dict]:
    """One row for each (what, who), in the order in which they first appear.

    Numbers become medians over the samples, of texts the first is kept. Rows of ours also get `ours ÷ peer` for
    every peer that was measured at the same thing.
    """
    peers = dict.fromkeys(who for _, who, _ in samples if not who.startswith(OURS))
    groups: dict[tuple[str, str], list[dict]] = {}
    for what, who, values in samples:
        groups.setdefault((what, who), []).append(values)
    rows = {key: {name: middle([each[name] for each in group]) for name in group[0]} for key, group in groups.items()}
    table = []
    for (what, who), values in rows.items():
        main = next(iter(values))
        ratios = {f"ours ÷ {peer}": None for peer in peers}
        if who.startswith(OURS):
            theirs = {peer: rows.get((what, peer), {}).get(main) for peer in peers}
            ratios = {f"ours ÷ {peer}": ratio(values[main], value) for peer, value in theirs.items()}
        table.append({"": what, "who": who, **values, **ratios})
    return sorted(table, key=lambda row: [what for what, _ in rows].index(row[""]))


def middle(values: Sequence) -> float | str | None:
    """The median of the numbers; the first of texts; None when there is nothing."""
    values = [value for value in values if value is not None]
    return (values[0] if isinstance(values[0], str) else median(values)) if values else None


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """Ours divided by theirs, None where either is missing or nothing."""
    return ours / theirs if ours is not None and theirs else None


def markdown(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table, three digits each."""
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[cell(name, value) for name, value in row.items()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(name: str, value: float | str | None) -> str:
    """One value as text: ratios say ×, large numbers lose their fraction, nothing stays empty."""
    if value is None or isinstance(value, str):
        return value or ""
    text = f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text}×" if "÷" in name else text


def rate(record: dict, skip: int = 0) -> float | None:
    """Training images per second of a run's epochs, the first `skip` left out."""
    seconds = record["epoch_seconds"][skip:]
    return ratio(record["images"] * len(seconds), sum(seconds))


def depth(record: dict) -> str:
    """How much of a run's network was frozen, in words."""
    return f"freeze {record['freeze'] or 'none'}"


def who(record: dict) -> str:
    """Whose run it was."""
    return f"ours, {record['views']} views cached" if record["views"] else record["trainer"]


def details(record: dict) -> str:
    """What a rate has to be read with: precision, threads, epochs, and for a cache its hit rate."""
    text = f"{record['precision']}, {record['threads']} threads, {record['epochs']} epochs"
    if cache := record.get("prefix_cache"):
        text += f", K = {record['views']}, {cache['hits'] / (cache['hits'] + cache['misses']):.0%} hits"
    return text
