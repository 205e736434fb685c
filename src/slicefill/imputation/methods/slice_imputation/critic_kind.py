"""A critic that sees more of a batch than single slices, and what it costs and is worth.

A kind is one file with `KIND`, one line of `critics.KINDS`, and one λ in a preset of
`synthesis.weights`, under whose name it stands everywhere. It takes part where λ is above 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation.synthesis import Synthesis


@dataclass(frozen=True)
class CriticKind:
    """What a critic is and sees.

    Attributes:
        build: From image channels and the width of its first level to the network, which returns
            logits `(B,)`, above 0 for real.
        real: What it sees of the acquired slices; None for a batch that it does not judge.
        synthetic: What it sees of the synthetic ones; None for the same batches.
        relativistic: Whether it judges which of the two is the more real (Jolicoeur-Martineau,
            2019), not each by itself.
    """

    build: Callable[[int, int], nn.Module]
    real: Callable[[Synthesis], Tensor | None]
    synthetic: Callable[[Synthesis], Tensor | None]
    relativistic: bool = False


def judging_loss(real: Tensor, synthetic: Tensor, relativistic: bool) -> Tensor:
    """Cost of the critic: cross-entropy of both answers.

    Args:
        real: Logits of what is real, `(B,)`.
        synthetic: Logits of what is synthetic, `(B,)`.
        relativistic: Compare each with the mean of the other kind, and take the mean of both costs.

    Example:
        A critic that cannot tell pays log 2 for each, whatever it compares with:

        >>> zero = torch.zeros(2)
        >>> [round(float(judging_loss(zero, zero, way)), 4) for way in (False, True)]
        [1.3863, 0.6931]
    """
    if not relativistic:
        return _cost(real, 1.0) + _cost(synthetic, 0.0)
    more, less = real - synthetic.mean(), synthetic - real.mean()
    return (_cost(more, 1.0) + _cost(less, 0.0)) / 2


def fooling_loss(real: Tensor | None, synthetic: Tensor) -> Tensor:
    """Cost of the synthesis network: what is synthetic should look (more) real.

    Args:
        real: Logits of what is real, `(B,)`, for a relativistic critic; None for another one.
        synthetic: Logits of what is synthetic, `(B,)`.

    Example:
        >>> round(float(fooling_loss(None, torch.zeros(3))), 4)
        0.6931
    """
    if real is None:
        return _cost(synthetic, 1.0)
    more, less = real - synthetic.mean(), synthetic - real.mean()
    return (_cost(more, 0.0) + _cost(less, 1.0)) / 2


def _cost(logits: Tensor, answer: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))
