"""What an arm of a comparison is called, and what a paired difference is worth."""

import math
import statistics

import pytest

from yolo_ft.finetune.comparison import T_QUANTILES, arm_label, paired_interval


@pytest.mark.parametrize(
    ("summary", "label"),
    [
        ({}, "freeze none, packaged weights"),
        ({"freeze": "10", "weights": "yolov5n.pt"}, "freeze 10, yolov5n.pt"),
        ({"freeze": "10", "weights": "/shelf/x/my weights.pt"}, "freeze 10, my weights.pt"),
        ({"freeze": "10", "weights": "C:\\x\\a.pt"}, "freeze 10, a.pt"),
        ({"freeze": "none", "weights": "yolov5n.yaml"}, "freeze none, random yolov5n"),
        ({"freeze": "5:backbone,20:none", "weights": ""}, "freeze 5:backbone,20:none, packaged weights"),
        (
            {"freeze": "none", "frozen_parameters": 7, "freeze_label": "layers 0-9 (backbone: stem)"},
            "freeze layers 0-9, packaged weights",
        ),
    ],
)
def test_arm_labels(summary, label):
    assert arm_label(summary) == label


def test_paired_interval():
    for values in ([], [1.0]):
        with pytest.raises(ValueError, match="two"):
            paired_interval(values)
    assert paired_interval([1.0, 3.0]) == pytest.approx((2.0, 2.0 - 12.706, 2.0 + 12.706))
    many = [0.0, 1.0] * 50
    mean, low, high = paired_interval(many)
    assert mean == 0.5 and (high - low) / 2 == pytest.approx(2.042 * statistics.stdev(many) / 10)


def test_t_quantiles_hold_2_5_percent_above():
    """Numerical integration of Student's density beyond each quantile of the table."""
    for df, quantile in enumerate(T_QUANTILES, start=1):
        scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
        step = quantile / 2000
        density = [scale * (1 + (i * step) ** 2 / df) ** (-(df + 1) / 2) for i in range(2001)]
        inside = step / 3 * (density[0] + density[-1] + 4 * sum(density[1:-1:2]) + 2 * sum(density[2:-1:2]))
        assert 0.5 - inside == pytest.approx(0.025, abs=2.5e-5), df
