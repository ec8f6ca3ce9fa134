"""What several test files share: the parity fixtures and the deterministic numbers that fill models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from yolo_ft.core.seeding import hash_uint32

FIXTURES = Path(__file__).parent / "fixtures"
IMAGE_SEED = 1000003


def load_fixture(name: str) -> dict:
    """One of tests/fixtures/*.json."""
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def hash_uniform(i, k) -> np.ndarray:
    """u(i, k) in [0, 1), float64."""
    return hash_uint32(i, k).astype(np.float64) / 2**32


def uniform(shape: tuple[int, ...], k: int) -> torch.Tensor:
    """u over the row-major flat index of `shape`, float32."""
    return torch.from_numpy(hash_uniform(np.arange(int(np.prod(shape))), k).reshape(shape)).float()


def image(b: int, h: int, w: int, seed: int = IMAGE_SEED) -> torch.Tensor:
    """The fixtures' input image (b, 3, h, w)."""
    return uniform((b, 3, h, w), seed)


def filled(model: torch.nn.Module, name: str = "yolov5n") -> torch.nn.Module:
    """`model` with every tensor set to the fixtures' deterministic values (nc = 80)."""
    bn_scale = load_fixture(f"{name}_parity")["bn_scale"]
    state = model.state_dict()
    for k, (key, shape) in enumerate(load_fixture(f"{name}_params")):
        v = 2 * hash_uniform(np.arange(int(np.prod(shape, dtype=int))), k).reshape(shape) - 1
        if key.endswith("num_batches_tracked"):
            value = np.zeros(shape)
        elif key.endswith("anchors"):
            continue
        elif key.endswith("running_mean"):
            value = 0.2 * v
        elif key.endswith("running_var"):
            value = 1 + 0.5 * v
        elif key.endswith("bn.weight"):
            value = bn_scale[key] * (1 + 0.2 * v)
        elif key.endswith("bn.bias"):
            value = 0.3 * v
        elif len(shape) == 4:
            value = 1.5 * v * np.sqrt(3 / np.prod(shape[1:]))
        elif key.endswith(".2.bias") and "cv2." in key:  # YOLO26's box branches
            value = 2 + 0.5 * v
        else:
            value = 0.5 * v
        state[key].copy_(torch.from_numpy(np.asarray(value)))
    return model


def close(actual: torch.Tensor, expected: list[float], tolerance: float = 1e-4) -> None:
    """The first numbers of `actual` are `expected`, relative to their size where that is above 1."""
    actual = actual.detach().double().flatten()[: len(expected)]
    expected = torch.tensor(expected, dtype=torch.float64)
    assert len(actual) == len(expected) > 0
    assert ((actual - expected).abs() <= tolerance * expected.abs().clamp(min=1)).all()


def matches(actual: torch.Tensor, entry: dict, tolerance: float = 1e-4) -> None:
    """`actual` has the shape, the first numbers and the absolute sum of a fixture's entry."""
    assert list(actual.shape) == entry["shape"]
    close(actual, entry["first"], tolerance)
    assert abs(actual.double().abs().sum().item() - entry["abs_sum"]) <= tolerance * entry["abs_sum"]
