"""Progress of a training run while it runs: a figure in a notebook, a bar in a shell.

Both are trainer listeners: callables `listener(event, info)` with the events "start" (info: config, epochs, batches),
"batch" (epoch, batch, loss: its mean so far in the epoch), "epoch" (one row of results.csv) and "end" (the summary).
Lesson 03 watches one.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Callable
from typing import Any

from IPython import get_ipython
from IPython.display import display
from tqdm import tqdm

from yolo_ft.report.lessons import png
from yolo_ft.report.plots import training_figure

Listener = Callable[[str, dict[str, Any]], None]


def default_listener() -> Listener:
    """`LiveFigure` inside a notebook kernel, `Progress` anywhere else."""
    shell = get_ipython()
    return LiveFigure() if shell is not None and hasattr(shell, "kernel") else Progress()


class LiveFigure:
    """One picture of a run in a notebook: loss so far in each epoch and mAP per epoch, redrawn in place.

    The picture is updated through a display handle at most every `interval` seconds, so drawing costs little, and
    ends as one static image. Its text never changes, so a strict check of the notebook can compare it.
    """

    TEXT = "Live figure: training loss, its mean so far in each epoch; validation mAP50 per epoch."

    def __init__(self, interval: float = 1.0) -> None:
        self.interval = interval
        self.losses: list[tuple[float, float]] = []  # (epochs done, mean loss so far in the epoch)
        self.scores: list[tuple[float, float]] = []  # (epochs done, mAP50)
        self.epochs = self.batches = 1
        self.done = 0.0  # epochs
        self.handle: Any = None
        self.drawn = -math.inf

    def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event == "start":
            self.epochs, self.batches = info["epochs"], info["batches"]
            self._draw()
        elif event == "batch":
            self.done = info["epoch"] + (info["batch"] + 1) / self.batches
            self.losses.append((self.done, float(info["loss"])))
            if time.monotonic() - self.drawn >= self.interval:
                self._draw()
        elif event == "epoch" and _number(info.get("map50")):
            self.scores.append((self.done, float(info["map50"])))
        elif event == "end":
            self._draw()

    def _draw(self) -> None:
        picture = base64.b64encode(png(training_figure(self.losses, self.scores, self.epochs), dpi=80)).decode("ascii")
        bundle = {"image/png": picture, "text/plain": self.TEXT}
        metadata = {"image/png": {"alt": self.TEXT}}
        if self.handle is None:
            self.handle = display(bundle, metadata=metadata, raw=True, display_id=True)
        else:
            self.handle.update(bundle, metadata=metadata, raw=True)
        self.drawn = time.monotonic()


class Progress:
    """A tqdm bar over all batches of a run, with a line for each validated epoch; for shells and logs."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None
        self.batches = 1

    def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event == "start":
            self.batches = info["batches"]
            tqdm.write(f"frozen: {info['frozen']}")
            self.bar = tqdm(total=info["epochs"] * info["batches"], unit="batch", dynamic_ncols=True)
        elif event == "batch":
            self.bar.set_postfix(epoch=info["epoch"] + 1, loss=f"{float(info['loss']):.3f}", refresh=False)
            done = info["epoch"] * self.batches + info["batch"] + 1  # a resumed run starts in the middle
            self.bar.update(done - self.bar.n)  # draws a few times a second, however fast the batches are
        elif event == "epoch" and _number(info.get("map50")):
            self.bar.write(
                f"epoch {self.bar.n // self.batches}: mAP50 {info['map50']:.3f}, mAP50-95 {info['map50_95']:.3f}"
            )
        elif event == "end":
            self.bar.close()
            if cached := info["summary"].get("prefix_cache"):
                passes = cached["hits"] + cached["misses"]
                tqdm.write(
                    f"frozen layers: {cached['hits']} of {passes} image passes read back "
                    f"({info['summary']['views']} views, {cached['bytes'] / 1e6:.0f} MB written)"
                )


def _number(value: Any) -> bool:
    """Whether a results.csv cell holds a finite number; epochs without validation leave it empty."""
    return isinstance(value, int | float) and math.isfinite(value)
