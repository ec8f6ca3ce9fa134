"""The voice of the notebooks: `show` a figure, give a `verdict` on a claim, `check` an answer, give a `hint`.

Every function prints plain text that is derived from data, so that a notebook's stored output can be compared
strictly with what a fresh run prints. Used by every lesson.
"""

from __future__ import annotations

import base64
import io
import math
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from IPython.display import display

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.comparison import SEEDS_FOR_A_CLAIM, paired_interval
from yolo_ft.report.answers import Exercise, same
from yolo_ft.report.exercises import EXERCISES

LINE = 100  # characters; wider lines scroll sideways in a rendered notebook
UNDECIDED = "not decided by this budget"

# What the guides claim, and the lessons measure.
CLAIMS = {
    "F1": "Freezing layers 0–9 trains faster and costs a little final accuracy.",
    "F2": "Freezing layers 0–23 is faster still and costs more.",
    "F3": "The more is frozen, the less memory training needs.",
    "F4": "The more is frozen, the lower the GPU utilisation.",
    "F5": "Larger models or larger images gain more from freezing.",
    "F6": "A frozen layer does not change.",
    "F7": "Freezing sets gradients to zero.",
    "F8": "Early layers hold universal features, late layers task-specific ones.",
    "T1": "Fine-tuning beats training from scratch in time and data.",
    "T2": "Fine-tuning needs only a few thousand images.",
    "D1": "Comparing its statistics with those of the source shows the domain gap.",
    "D2": "Annotation quality matters; inspect random samples.",
    "D3": "Stratified splits represent every class.",
    "D4": "80/20 under 1,000 images, 90/10 above.",
    "D5": "Grouped or temporal splits simulate deployment better than random ones.",
    "A1": "Little diversity wants stronger augmentation; much diversity wants lighter.",
    "A2": "Rotation, flips and brightness expand a small dataset and reduce overfitting.",
    "A3": "Synthetic images (pasted, generated, restyled) help small datasets.",
    "Y1": "At equal training time YOLO26n ends more accurate than YOLOv5n.",
    "P3": "Recording procedure and hyper-parameters makes a run reproducible.",
}


def show(thing: Any, sentence: str) -> None:
    """Display a matplotlib Figure with `sentence` printed under it, or an ipywidgets widget.

    `sentence` says what the picture shows, with numbers taken from the data: it is the alternative text, and what a
    strict check of the notebook compares, because pixels are never compared. A Figure is shown as PNG and closed.
    A widget tells its own state; where it cannot run (a notebook read on the web) the sentence stands in its place.
    """
    if hasattr(thing, "savefig"):
        bundle: dict[str, Any] = {"image/png": base64.b64encode(png(thing)).decode("ascii")}
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:  # only then can pyplot hold the figure, and draw it a second time
            pyplot.close(thing)
    else:
        view = {"version_major": 2, "version_minor": 0, "model_id": thing.model_id}
        bundle = {"application/vnd.jupyter.widget-view+json": view}
    told = sentence if "image/png" in bundle else _wrapped(sentence)  # a reader without the widget sees the text
    display({**bundle, "text/plain": told}, metadata={"image/png": {"alt": sentence}}, raw=True)
    if "image/png" in bundle:
        _say(sentence)


def png(figure: Any, dpi: int = 100) -> bytes:
    """The PNG bytes of a matplotlib Figure, cropped to its content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", facecolor="white")
    return buffer.getvalue()


def verdict(
    claim_id: str,
    evidence: str = "",
    holds: bool | None = None,
    differences: Iterable[float | None] | Mapping[Any, float | None] | None = None,
    expected: str = "higher",
    unit: str = "",
) -> None:
    """Print a claim and what the evidence says: confirmed, not confirmed, or not decided by this budget.

    Exact and mechanical claims pass `holds` (None: this notebook does not decide). Empirical claims pass
    `differences`, one number per seed, each paired by seed (a list, or a mapping from seed), and whether the claim
    expects them "higher" or "lower" than zero. Fewer than five seeds decide nothing and are listed one by one; from
    five on the 95 % interval of the paired mean decides. A difference that is missing or not finite is no seed.
    Never raises on data, so that a notebook also runs with other budgets.
    """
    if differences is None:
        word = {True: "confirmed", False: "not confirmed"}.get(holds, UNDECIDED)
        reasons = [evidence]
    else:
        word, reason = _weigh(differences, expected, f" {unit}" if unit else "")
        reasons = [evidence, reason]
    told = " ".join(reason for reason in reasons if reason)
    _say(f"{claim_id} · {CLAIMS.get(claim_id, '')}\n→ {word}" + (f": {told}" if told else "."))


def _weigh(differences: Iterable | Mapping, expected: str, unit: str) -> tuple[str, str]:
    """(word, reason) of an empirical claim by the rule of seeds."""
    values = differences.values() if isinstance(differences, Mapping) else differences
    pairs = [float(value) for value in values if value is not None and math.isfinite(value)]
    if len(pairs) < SEEDS_FOR_A_CLAIM:
        reason = f"{len(pairs)} of the {SEEDS_FOR_A_CLAIM} seeds that a claim needs"
        if pairs:
            reason += f"; differences paired by seed {', '.join(f'{value:+.3f}' for value in pairs)}{unit}"
        return UNDECIDED, f"{reason}."
    mean, low, high = paired_interval(pairs)
    above, below = low > 0, high < 0
    agrees, disagrees = (below, above) if expected == "lower" else (above, below)
    word = "confirmed" if agrees else "not confirmed" if disagrees else UNDECIDED
    digits = 3 if min(abs(low), abs(high)) >= 0.0005 else 4  # an end that is not zero does not look like it
    interval = f"95 % interval {low:+.{digits}f} to {high:+.{digits}f}"
    return word, f"paired mean difference {mean:+.3f}{unit}, {interval}, {len(pairs)} seeds."


def check(exercise_id: str, answer: Any) -> None:
    """Print whether `answer` solves an exercise (for example "02.1"), or which misconception it shows."""
    exercise = _exercise(exercise_id)
    _say(f"{exercise_id}: {_assess(exercise, answer)}")


def _assess(exercise: Exercise, answer: Any) -> str:
    if answer is None:
        return "not answered yet."
    if any(same(answer, right, exercise.tolerance) for right in (exercise.answer, *exercise.accepted)):
        return f"correct. {exercise.because}"
    for wrong, misconception in exercise.misconceptions:
        if same(answer, wrong, exercise.tolerance):
            return f"not correct. {misconception}"
    if isinstance(answer, str) and not isinstance(exercise.answer, str):
        wanted = "a list, such as [1, 2]" if isinstance(exercise.answer, Sequence) else "a number"
        return f"not correct yet: give {wanted}, without quotation marks."
    return f'not correct yet. hint("{exercise.id}", 1) helps.'


def hint(exercise_id: str, level: int = 1) -> None:
    """Print hint 1, 2 or 3 of an exercise; each says more than the one before."""
    hints = _exercise(exercise_id).hints
    if level not in range(1, len(hints) + 1):
        raise UserError(f"Exercise {exercise_id} has hints 1 to {len(hints)}; {level!r} is none of them.")
    _say(f"Hint {level} of {len(hints)}: {hints[level - 1]}")


def _exercise(exercise_id: str) -> Exercise:
    if exercise_id not in EXERCISES:
        raise UserError(f"There is no exercise {exercise_id!r}; there are {', '.join(EXERCISES)}.")
    return EXERCISES[exercise_id]


def _say(text: str) -> None:
    print(_wrapped(text))


def _wrapped(text: str) -> str:
    """`text` in lines of a width that no notebook viewer has to scroll."""
    return "\n".join(textwrap.fill(line, LINE) for line in text.splitlines())
