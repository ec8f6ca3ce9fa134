"""What a freeze plan leaves to train and what it saves, as one small table. Lesson 02."""

from __future__ import annotations

import html
from dataclasses import dataclass

from yolo_ft.finetune.accounting import MIB, ideal_cached_speedup, ideal_speedup, image_size, measure
from yolo_ft.finetune.freeze_plan import FreezePlan
from yolo_ft.models.detector import Detector


@dataclass(frozen=True)
class FreezeReport:
    """Counts of one plan at (height, width) = `imgsz`, by the definitions of `accounting`.

    `frozen_flops_share`: share of the forward FLOPs in the frozen prefix; for a plan that is no prefix, in the
    layers frozen as a whole. `kept_bytes`: kept for backward per image, `unfrozen_kept_bytes` without any freeze.
    `cached_speedup` is None where there is no frozen prefix to cache, or its BatchNorm statistics still move.
    """

    plan: FreezePlan
    description: str
    imgsz: tuple[int, int]
    parameters: int
    frozen_parameters: int
    forward_flops: int
    frozen_flops: int
    kept_bytes: int
    unfrozen_kept_bytes: int
    speedup: float
    cached_speedup: float | None

    @property
    def trainable_parameters(self) -> int:
        """Parameters that still train."""
        return self.parameters - self.frozen_parameters

    @property
    def frozen_share(self) -> float:
        """Frozen parameters as a share of all, 0..1."""
        return self.frozen_parameters / self.parameters

    @property
    def frozen_flops_share(self) -> float:
        """Frozen forward FLOPs as a share of all, 0..1."""
        return self.frozen_flops / self.forward_flops

    @property
    def kept_share(self) -> float:
        """Bytes kept for backward as a share of those without a freeze, 0..1."""
        return self.kept_bytes / self.unfrozen_kept_bytes

    def rows(self) -> list[tuple[str, str]]:
        """(quantity, value) as text, the lines of the printed table."""
        height, width = self.imgsz
        size = f"{width} px" if height == width else f"{height}x{width} px"
        where = "frozen prefix" if self.plan.is_prefix or not self.plan.parameters else "frozen layers"
        flops, all_flops = self.frozen_flops / 1e9, self.forward_flops / 1e9
        kept, all_kept = self.kept_bytes / MIB, self.unfrozen_kept_bytes / MIB
        uncached = "none: BatchNorm statistics move" if self.plan.prefix else "none: no frozen prefix"
        cached = uncached if self.cached_speedup is None else f"{self.cached_speedup:.2f}x"
        rows = [
            ("frozen", self.description),
            ("frozen parameters", f"{self.frozen_parameters:,} of {self.parameters:,} ({self.frozen_share:.1%})"),
            ("trainable parameters", f"{self.trainable_parameters:,}"),
            (f"forward FLOPs in {where}", f"{flops:.2f} of {all_flops:.2f} G ({self.frozen_flops_share:.1%})"),
            ("kept for backward per image", f"{kept:.1f} of {all_kept:.1f} MiB ({self.kept_share:.1%}) at {size}"),
            ("ideal step speed-up", f"{self.speedup:.2f}x"),
            ("ideal, outputs of the prefix cached", cached),
        ]
        if self.plan.parameters:
            rows.insert(1, ("BatchNorm statistics", self.plan.batchnorm))
        return rows

    def __str__(self) -> str:
        width = max(len(quantity) for quantity, _ in self.rows())
        return "\n".join(f"{quantity:<{width}}  {value}" for quantity, value in self.rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th scope='row' style='text-align:left'>{html.escape(quantity)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for quantity, value in self.rows()
        )
        return f"<table>{cells}</table>"


def freeze_report(model: Detector, plan: FreezePlan, imgsz: int | tuple[int, int] = 640) -> FreezeReport:
    """Count what `plan` saves on `model`, which stays as it is; two forward passes without numbers.

    A prefix plan has the ideal speed-ups 3 / (3 - 2p) and 1 / (1 - p), p its share of the forward FLOPs. For any
    other plan both steps are summed per convolution: forward, weight gradient where the weight trains, input
    gradient where anything below trains.
    """
    free = measure(model, imgsz)
    frozen = measure(model, imgsz, plan.parameters, plan.batchnorm)
    flops = sum(free.flops)
    frozen_flops = sum(free.flops[i] for i in plan.layers)
    prefix_flops = sum(free.flops[: plan.prefix])
    cacheable = plan.prefix > 0 and plan.batchnorm == "fixed"
    if plan.is_prefix:
        speedup, cached = ideal_speedup(frozen_flops / flops), ideal_cached_speedup(frozen_flops / flops)
    else:
        speedup = free.step_flops / frozen.step_flops
        cached = free.step_flops / (frozen.step_flops - prefix_flops)
    counts = {name: p.numel() for name, p in model.named_parameters()}
    return FreezeReport(
        plan=plan,
        description=plan.describe(model),
        imgsz=image_size(model, imgsz),
        parameters=sum(counts.values()),
        frozen_parameters=sum(counts[name] for name in plan.parameters),
        forward_flops=flops,
        frozen_flops=frozen_flops,
        kept_bytes=frozen.total_kept,
        unfrozen_kept_bytes=free.total_kept,
        speedup=speedup,
        cached_speedup=cached if cacheable else None,
    )
