"""Exactly what is frozen, as a value: parsed from what people write, described, united, compared. Lesson 02."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.selectors import layer_index, layer_parameters, ranges_text, select, split_spec
from yolo_ft.models.detector import Detector

BATCHNORM_MODES = ("fixed", "running")


@dataclass(frozen=True)
class FreezePlan:
    """Exactly what is frozen.

    `spec`: text that parses back to this plan. `parameters`: full names. `layers`: layers frozen as a whole.
    `batchnorm`: "fixed" keeps the running statistics of frozen BatchNorms, "running" lets them move (as YOLOv5
    does). `prefix` = k when layers 0..k-1 are frozen as a whole: their outputs never change.
    """

    spec: str = "none"
    parameters: frozenset[str] = frozenset()
    layers: tuple[int, ...] = ()
    batchnorm: str = "fixed"
    prefix: int = 0

    @classmethod
    def parse(cls, model: Detector, spec: object, batchnorm: str = "fixed") -> FreezePlan:
        """The plan that `spec` (see `selectors`) means on `model`.

        Raises `UserError` for a selector that matches nothing, a layer that does not exist, a plan that freezes
        everything, and an unknown BatchNorm mode.
        """
        if batchnorm not in BATCHNORM_MODES:
            raise UserError(f"BatchNorm statistics of frozen layers are 'fixed' or 'running', not {batchnorm!r}.")
        if isinstance(spec, FreezePlan):
            return replace(spec, batchnorm=batchnorm)
        selection = select(model, spec)
        refuse_everything(model, selection.names)
        layers = whole_layers(model, selection.names, selection.layers)
        prefix = next((i for i, layer in enumerate(layers) if i != layer), len(layers))
        return cls(selection.text, selection.names, layers, batchnorm, prefix)

    @property
    def is_prefix(self) -> bool:
        """Whether the plan freezes layers 0..prefix-1 and nothing else."""
        return self.prefix > 0 and all(layer_index(name) < self.prefix for name in self.parameters)

    def union(self, other: FreezePlan, model: Detector) -> FreezePlan:
        """Frozen by either plan. The BatchNorm mode is that of `other` unless `other` freezes nothing."""
        mode = other.batchnorm if other.parameters else self.batchnorm
        if other.parameters <= self.parameters:
            return replace(self, batchnorm=mode)
        if self.parameters <= other.parameters:
            return replace(other, batchnorm=mode)
        return FreezePlan.parse(model, [*self._items(), *other._items()], mode)

    def _items(self) -> list[str]:
        # a lone count means "the first n layers" and would mean "layer n" inside a list
        return [f"0-{int(self.spec) - 1}"] if self.spec.isdigit() else split_spec(self.spec)[0]

    def describe(self, model: Detector) -> str:
        """One line that says which layers are meant, e.g. "layers 0-9 (backbone: stem, P1/2 ... P5/32 pool)"."""
        if not self.parameters:
            return "nothing frozen"
        parts = [_describe_run(model, text) for text in ranges_text(self.layers).split(",") if text]
        inside = frozenset().union(*(layer_parameters(model)[i] for i in self.layers))
        loose = sorted(self.parameters - inside, key=list(dict(model.named_parameters())).index)
        if loose:
            shown = ", ".join(loose[:3]) + (f" ... {loose[-1]}" if len(loose) > 3 else "")
            parts.append(f"{len(loose)} parameter tensor{'s' * (len(loose) > 1)} ({shown})")
        return "; ".join(parts)


def _describe_run(model: Detector, text: str) -> str:
    ends = [int(end) for end in text.split("-")]
    run = range(ends[0], ends[-1] + 1)
    stages = [_describe_stage(stage, members, run) for stage, members in model.stages.items() if {*members} & {*run}]
    names = dict.fromkeys(model.layers[i].name for i in ends)
    return f"layer{'s' * (len(run) > 1)} {text} ({' and '.join(stages)}: {' ... '.join(names)})"


def _describe_stage(stage: str, members: range, run: range) -> str:
    """How much of a stage is meant; where a single layer is missing, what all of it would be."""
    missing = len({*members} - {*run})
    if missing == 1:
        return f"part of {stage}, which is layers {members[0]}-{members[-1]}"
    return f"part of {stage}" if missing else stage


def whole_layers(model: Detector, names: Collection[str], chosen: Collection[int]) -> tuple[int, ...]:
    """Chosen layers, layers with every parameter frozen, and the parameter-free layers in between."""
    by_layer = layer_parameters(model)
    whole = {i for i, members in enumerate(by_layer) if i in chosen or (members and members <= set(names))}
    for i in sorted(whole):
        following = i + 1
        while following < len(by_layer) and not by_layer[following]:
            following += 1
        if following in whole:
            whole |= set(range(i, following))
    return tuple(sorted(whole))


def refuse_everything(model: Detector, names: Collection[str]) -> None:
    """`UserError` when `names` are all parameters that `model` has."""
    if set(names) >= {name for name, _ in model.named_parameters()}:
        raise UserError(
            "This freezes every parameter, so nothing is left to train; 'all-but-head' is the most that makes sense. "
            "(Parameters that you froze by hand stay frozen: set their requires_grad to True.)"
        )
