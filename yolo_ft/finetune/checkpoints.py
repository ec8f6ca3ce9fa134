"""Checkpoints: trained weights with their names, the class names, and what they are weights of.

`load_checkpoint` reads our own files and official ones of YOLOv5 v6/v7 and of Ultralytics 8.4 (YOLO26); these hold
whole Python objects and are read without the reference package and without running anything inside them (`unpickling`).
"""

from __future__ import annotations

import json
import math
import pickle
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from yolo_ft.core.errors import UserError
from yolo_ft.data.files import atomic_path, plain
from yolo_ft.finetune.archives import Archive
from yolo_ft.finetune.downloads import OFFICIAL, fetch_weights, official_name
from yolo_ft.finetune.unpickling import Record, StoredTensor
from yolo_ft.models import build_model, model_for
from yolo_ft.models.detector import Detector

FORMAT, VERSION = "yolo_ft", 1
LARGEST_TREE = 10_000  # modules; YOLOv5x has fewer than 1,000
ONLY = "only n, s, m, l, x detectors of YOLOv5 (release 6.0 and later) and YOLO26 are read (yolov5n.pt ... yolo26x.pt)"
# what gives another family away: a name in the pickle -> what the file is
OTHER_FAMILIES = {
    "ultralytics.nn.modules.block.DFL": "is of the ultralytics package (YOLOv8, YOLO11, a 'u' model such as yolov5nu)",
    "ultralytics.nn.tasks.Segment": "is a segmentation model",
    "ultralytics.nn.tasks.Classif": "is a classification model",
    "ultralytics.nn.tasks.Pose": "is a pose model",
    "ultralytics.nn.tasks.OBB": "is a model for rotated boxes",
    "models.yolo.Segment": "is a segmentation model",
    "models.yolo.Classif": "is a classification model",
    "models.common.Classify": "is a classification model",
    "models.common.Focus": "is a YOLOv5 from before release 6.0",
}


@dataclass
class Checkpoint:
    """Trained weights. `state_dict`: official tensor names -> float32 tensors (counters int64), EMA where there is one.

    `names`: {index: class name}; `family` "yolov5" or "yolo26"; `size` "n" ... "x"; `metadata`: plain values about
    the origin.
    """

    state_dict: dict[str, torch.Tensor] = field(repr=False)
    names: dict[int, str] = field(repr=False)
    family: str
    size: str
    num_classes: int
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def model_name(self) -> str:
        """The architecture's name, as `build_model` takes it: "yolov5n"."""
        return self.family + self.size


def load_checkpoint(path_or_name: str | Path) -> Checkpoint:
    """Read a checkpoint: our own file, an official `.pt` of YOLOv5 or YOLO26, or an official name ("yolov5n.pt").

    A name without such a file beside you is downloaded once (`downloads.fetch_weights`). Raises `UserError` with one
    sentence for everything that is no n/s/m/l/x detector of these, and for files that try to do more than hold one.
    Lesson 01.
    """
    path = Path(path_or_name).expanduser()
    if not path.is_file():
        path = _without_file(path, str(path_or_name))
    with Archive(path) as archive:
        _refuse_family(path, archive.globals)
        root = archive.load()
        if isinstance(root, dict) and root.get("format") == FORMAT:
            return _read_own(archive, root)
        return _read_official(archive, root)


def save_checkpoint(
    path: str | Path,
    model: Detector,
    metadata: dict[str, Any] | None = None,
    half: bool = False,
    training: dict[str, Any] | None = None,
) -> Path:
    """Write `model` as {"format", "version", "family", "size", "num_classes", "names", "state_dict", "metadata"}.

    Tensors and plain values only, so that `torch.load(..., weights_only=True)` reads it; the file appears whole or
    not at all, and the same content gives the same bytes. `half` stores floats in 16 bits (half the size, about
    three digits); reading gives float32 again. `metadata` holds what JSON can hold. `training` is what a resume needs
    besides the weights: tensors and plain values.
    """
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    if half:
        state = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
        for key, tensor in state.items():
            if not tensor.isfinite().all():
                raise UserError(f"{key} does not fit in 16 bits (or is not finite): save it with half=False.")
    content = {
        "format": FORMAT,
        "version": VERSION,
        "family": model.family,
        "size": model.size,
        "num_classes": model.num_classes,
        "names": dict(model.names),
        "state_dict": state,
        "metadata": json.loads(json.dumps(plain(dict(metadata or {})))),  # numpy numbers become Python's
    }
    if training is not None:
        content["training"] = training
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # an open file, not its name: torch.save would put the temporary name into every zip member
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
    return path


def load_training_state(path: str | Path) -> dict[str, Any]:
    """What `save_checkpoint(training=...)` kept, with the raw weights under "weights", on the CPU.

    Raises `UserError` for a file without a training state. Lesson 03.
    """
    path = Path(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(
            f"There is no {path}: the run was stopped before its first epoch ended, start it anew."
        ) from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path} is truncated, damaged or not ours: {reason}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or "training" not in content:
        raise UserError(f"{path} keeps no training state: only a run's weights/last.pt can be resumed.")
    return {**content["training"], "weights": content["state_dict"]}


def model_from_checkpoint(checkpoint: Checkpoint) -> Detector:
    """The detector that the checkpoint was saved from, with its weights, in eval mode. Lesson 01."""
    model = build_model(checkpoint.model_name, checkpoint.num_classes, checkpoint.names)
    model.adopt({key: tensor.shape for key, tensor in checkpoint.state_dict.items()})
    model.load_state_dict(checkpoint.state_dict, strict=True)
    model.pretrained = True
    return model.eval()


def _without_file(path: Path, asked: str) -> Path:
    """The path of official weights, or a sentence that says what could have been meant."""
    name = official_name(asked)
    if name is None:
        hint = f"the official weights are {', '.join(f'{official}.pt' for official in OFFICIAL)}"
        if path.suffix in (".yaml", ".yml"):
            hint = f"for random weights use build_model('{path.stem}')"
        raise UserError(f"There is no checkpoint '{asked}' (looked in {path.absolute().parent}); {hint}.")
    local = path.with_suffix(".pt")
    return local if local.is_file() else fetch_weights(name)


def _refuse_family(path: Path, names: list[str]) -> None:
    for prefix, what in OTHER_FAMILIES.items():
        if any(name.removeprefix("yolov5.").startswith(prefix) for name in names):  # a clone's, or the package's
            raise UserError(f"{path.name} {what}; {ONLY}.")


def _read_own(archive: Archive, root: dict) -> Checkpoint:
    name = archive.path.name
    version = root.get("version")
    if version != VERSION:
        told = version if type(version) is int else "unknown"
        raise UserError(f"{name} is of format version {told}, this is {VERSION}: update yolo_ft.")
    training = root.get("training")
    stored = training["ema"] if isinstance(training, dict) and "ema" in training else root.get("state_dict")
    if not isinstance(stored, dict) or not all(isinstance(tensor, StoredTensor) for tensor in stored.values()):
        raise UserError(f"{name} says that it is ours but has no state_dict of tensors: save it again.")
    metadata = root.get("metadata")
    return _recognise(archive, stored, root.get("names"), metadata if isinstance(metadata, dict) else {})


def _read_official(archive: Archive, root: object) -> Checkpoint:
    """Records of whole modules -> tensors by name; the EMA model where there is one, as the official tools do."""
    modules = (
        {key: root[key] for key in ("ema", "model") if isinstance(root.get(key), Record)}
        if isinstance(root, dict)
        else {}
    )
    if not modules:
        raise UserError(f"{archive.path.name} holds no model that we know; {ONLY}.")
    source, module = next(iter(modules.items()))
    about = {key: root[key] for key in ("epoch", "date") if type(root.get(key)) in (int, str)}
    about |= {"source": f"official file, {source}", "imgsz": _trained_at(root)}
    return _recognise(archive, _tensors_of(module), module.get("names"), about)


def _trained_at(root: dict) -> int:
    """The size in pixels that the arguments of the training name; the official weights saw 640."""
    for key in ("train_args", "opt"):  # Ultralytics, YOLOv5
        arguments = root.get(key)
        size = arguments.get("imgsz") if isinstance(arguments, dict) else None
        if type(size) is int and size > 0 and size % 32 == 0:
            return size
    return 640


def _tensors_of(module: Record) -> dict[str, StoredTensor]:
    """Parameters and persistent buffers of a module record and of its children, by dotted name."""
    found: dict[str, StoredTensor] = {}
    waiting, seen = [("", module)], 0
    while waiting and seen < LARGEST_TREE:
        prefix, module = waiting.pop()
        seen += 1
        hidden = module.get("_non_persistent_buffers_set")
        for kind in ("_parameters", "_buffers", "_modules"):
            for name, value in _items(module.get(kind)):
                if isinstance(value, Record):
                    waiting.append((f"{prefix}{name}.", value))
                elif isinstance(value, StoredTensor) and not (isinstance(hidden, set) and name in hidden):
                    found[f"{prefix}{name}"] = value
    if waiting:
        raise UserError("The checkpoint holds modules without end, which no network has: it is refused.")
    return found


def _items(table: object) -> list[tuple]:
    """The entries of what ought to be a dictionary."""
    return list(dict.items(table)) if isinstance(table, dict) else []


def _recognise(archive: Archive, stored: dict[str, StoredTensor], names: object, metadata: dict) -> Checkpoint:
    """Family, size and class count from names and shapes; every tensor must be where that architecture has it."""
    name = archive.path.name
    if any(key.startswith(("model.25.", "model.33.")) for key in stored):
        raise UserError(f"{name} has more layers than a P5 model (a P6 model such as yolov5n6.pt?); {ONLY}.")
    if "model.0.conv.bias" in stored:
        raise UserError(f"{name} has its BatchNorms folded into the convolutions: use the file before that step.")
    shapes = {key: tensor.shape for key, tensor in stored.items()}
    if not _plausible(shapes.values(), archive.path.stat().st_size):
        raise UserError(f"{name} describes tensors that cannot be in it: it is refused.")
    model = model_for(shapes)
    if model is None:
        raise UserError(f"{name} does not have the tensors of any size of YOLOv5 or YOLO26; {ONLY}.")
    state = {key: _float32(archive.tensor(stored[key])) for key in model.state_dict()}
    for key, tensor in state.items():
        if not tensor.isfinite().all():
            raise UserError(f"{name}: {key} holds numbers that are not finite, so it finds nothing: take another file.")
    classes = _class_names(names, model.num_classes, name)
    return Checkpoint(state, classes, model.family, model.size, model.num_classes, metadata)


def _plausible(shapes: Iterable[tuple], size: int) -> bool:
    """Whether tensors of these shapes fit into a file of `size` bytes: a network is built after them."""
    shapes = list(shapes)
    good = all(len(shape) <= 4 and all(type(n) is int and 0 < n <= size for n in shape) for shape in shapes)
    return good and sum(math.prod(shape) for shape in shapes) <= size


def _float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _class_names(names: object, num_classes: int, file: str) -> dict[int, str]:
    """{index: name} from the list or dict in the file; placeholders, with a warning, when they do not fit."""
    table = dict(enumerate(names)) if isinstance(names, list | tuple) else dict(_items(names))
    if set(table) == set(range(num_classes)) and all(isinstance(name, str) for name in table.values()):
        return {index: table[index] for index in range(num_classes)}
    warnings.warn(
        f"{file} has no name for each of its {num_classes} classes: class0, class1, ... is used.", stacklevel=5
    )
    return {index: f"class{index}" for index in range(num_classes)}
