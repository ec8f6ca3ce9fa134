"""MuSGD: convolution kernels move by an orthogonalised momentum and by plain SGD in the same step.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces the momentum of a matrix by the nearest
matrix with all directions equally strong, so that rare directions learn as fast as common ones. The mixture is that of
Ultralytics 8.4, with which YOLO26 is trained on large data sets. Lesson 13.
"""

from __future__ import annotations

import torch

MUON_SHARE = 0.2  # the orthogonalised part's share of the learning rate; the plain part has all of it
COEFFICIENTS = (3.4445, -4.775, 2.0315)  # of X, X X^T X and X X^T X X^T X in every iteration
ITERATIONS = 5


def orthogonalised(matrix: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """(rows, columns) -> a matrix with the same singular vectors and singular values near 1, computed in `dtype`."""
    a, b, c = COEFFICIENTS
    x = matrix.to(dtype)
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(ITERATIONS):
        gram = x @ x.T
        # addmm rounds once where a product and a sum would round twice
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def muon_update(
    gradient: torch.Tensor, buffer: torch.Tensor, momentum: float, dtype: torch.dtype = torch.bfloat16
) -> torch.Tensor:
    """The orthogonalised direction of one kernel (2 or 4 dimensions); `buffer` is its moving average, updated."""
    buffer.lerp_(gradient, 1 - momentum)
    ahead = gradient.lerp(buffer, momentum)  # Nesterov: a look at where the average is going
    update = orthogonalised(ahead.flatten(1), dtype).view(gradient.shape)
    return update * max(1.0, gradient.shape[-2] / gradient.shape[-1]) ** 0.5


class MuSGD(torch.optim.Optimizer):
    """Nesterov SGD; in groups with "muon" every kernel moves by its orthogonalised momentum besides.

    Weight decay acts through the plain part alone.
    """

    def __init__(self, params: list[dict], lr: float, momentum: float):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "muon": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, group)

    def _move(self, p: torch.Tensor, group: dict) -> None:
        state, rate, momentum = self.state[p], group["lr"], group["momentum"]
        if group["muon"]:
            buffer = state.setdefault("muon_buffer", torch.zeros_like(p))
            update = muon_update(p.grad, buffer, momentum)
            p.add_(update.to(p), alpha=-rate * MUON_SHARE)
        step = p.grad.add(p, alpha=group["weight_decay"])
        buffer = state.setdefault("momentum_buffer", torch.zeros_like(p))
        buffer.mul_(momentum).add_(step)
        p.add_(step.add(buffer, alpha=momentum), alpha=-rate)
