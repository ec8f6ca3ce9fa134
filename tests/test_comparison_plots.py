"""The figure of paired differences: every seed drawn, an interval only where the table has one."""

import pandas as pd
import pytest
from matplotlib.text import Text

from yolo_ft.report.comparison_plots import paired_chart
from yolo_ft.report.lessons import png

THREE = pd.DataFrame(
    {"seeds": [2, 1], "seed 0": [-0.1, -0.4], "seed 1": [-0.2, None]}, index=["freeze 10", "freeze 24"]
)
FIVE = THREE.assign(**{"mean": [-0.15, -0.4], "95 % low": [-0.3, -0.5], "95 % high": [0.0, -0.3]})


@pytest.mark.parametrize(("paired", "intervals"), [(THREE, 0), (FIVE, 1), (THREE.iloc[:0], 0)])
def test_paired_chart_draws_every_seed_and_no_interval_below_five(paired, intervals):
    figure = paired_chart(paired, "difference")
    ax = figure.axes[0]
    marks = {line.get_label(): list(line.get_xdata()) for line in ax.lines if line.get_label().startswith("seed ")}
    assert {name: pytest.approx(xs, nan_ok=True) for name, xs in marks.items()} == {
        name: list(paired[name].astype(float)) for name in ("seed 0", "seed 1")
    }
    assert len(ax.containers) == intervals
    assert [text.get_text() for text in ax.get_yticklabels()] == list(paired.index)
    assert png(figure).startswith(b"\x89PNG")
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert min(sizes) >= 11


def test_the_guess_stands_on_the_first_row():
    star = [line for line in paired_chart(FIVE, guess=-0.02).axes[0].lines if line.get_label() == "your guess"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in star] == [(-0.02, 0)]
