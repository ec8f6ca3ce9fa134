"""yolo_ft: learn YOLO fine-tuning, then keep using it.

The names below are the whole public interface. They are loaded when first used, so that importing the package costs
nothing and changes nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from yolo_ft.core.version import VERSION as __version__

_HOME = {
    "YOLO": "yolo_ft.api",
    "DEFAULT_WEIGHTS": "yolo_ft.api",
    "resume": "yolo_ft.api",
    "build_model": "yolo_ft.models",
    "freeze": "yolo_ft.finetune.freezing",
    "load_checkpoint": "yolo_ft.finetune.checkpoints",
    "transfer": "yolo_ft.finetune.transfer",
    "load_dataset": "yolo_ft.data.dataset",
    "fit": "yolo_ft.finetune.fit",
    "evaluate": "yolo_ft.finetune.evaluation",
    "compare": "yolo_ft.report.comparison",
    "UserError": "yolo_ft.core.errors",
}
__all__ = [
    "DEFAULT_WEIGHTS",
    "YOLO",
    "UserError",
    "__version__",
    "build_model",
    "compare",
    "evaluate",
    "fit",
    "freeze",
    "load_checkpoint",
    "load_dataset",
    "resume",
    "transfer",
]

if TYPE_CHECKING:
    from yolo_ft.api import DEFAULT_WEIGHTS, YOLO, resume
    from yolo_ft.core.errors import UserError
    from yolo_ft.data.dataset import load_dataset
    from yolo_ft.finetune.checkpoints import load_checkpoint
    from yolo_ft.finetune.evaluation import evaluate
    from yolo_ft.finetune.fit import fit
    from yolo_ft.finetune.freezing import freeze
    from yolo_ft.finetune.transfer import transfer
    from yolo_ft.models import build_model
    from yolo_ft.report.comparison import compare


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'yolo_ft' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
