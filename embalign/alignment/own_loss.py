"""A loss of one's own as a plain torch function: its gradient by autograd, and what it returns checked."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from embalign.alignment.arguments import described, name_of
from embalign.alignment.losses import Loss
from embalign.errors import LossError


def by_autograd(function: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Return the loss whose value a torch function of mapped and teacher vectors gives, its gradient by autograd.

    The function takes both as (..., batch, d) and returns (...), a mean over the batch. A closed form is faster.

    >>> import torch
    >>> loss = by_autograd(lambda z_s, z_t: (z_s - z_t).abs().mean((-2, -1)))
    >>> loss(torch.zeros(2, 4), torch.ones(2, 4))
    tensor(1.)
    """

    def value_and_gradient(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            value = function(leaf, target.detach())
            _check_value(function, value, z)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), gradient

    return Loss(lambda teacher: teacher, value_and_gradient)


def _check_value(function: Callable[..., Any], value: Any, z: Tensor) -> None:
    """Raise LossError for what no gradient can be taken of."""
    if not isinstance(value, Tensor):
        raise LossError(f"loss {name_of(function)} returned {described(value)}; return a torch tensor")
    if value.shape != z.shape[:-2]:
        raise LossError(
            f"loss {name_of(function)} returned shape {tuple(value.shape)} for vectors of shape {tuple(z.shape)}; "
            "return the mean over batch and dimensions: .mean((-2, -1))"
        )
    if not value.requires_grad:
        raise LossError(
            f"loss {name_of(function)} does not depend on the mapped vectors through torch operations; leave out "
            ".detach(), .item() and NumPy"
        )
