"""The terms of the synthesis loss: eq. (7) to (12), the predicted error, cycle consistency.

A term is one function, registered by the name of its λ in `synthesis.weights`. It takes a
`Synthesis`: slices `(B, N, C, H, W)` in [0, 1], flows `(B, 2, H, W)` in pixels. It returns a
scalar, lower is better, or None for a batch or a network to which it does not apply. 0 is perfect,
except for `error`. `docs/how-to/new_loss.md` adds one.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.critic_kind import fooling_loss
from slicefill.imputation.methods.slice_imputation.critics import KINDS
from slicefill.imputation.methods.slice_imputation.frequency import synthetic_high
from slicefill.imputation.methods.slice_imputation.motion import Pair, warp
from slicefill.imputation.methods.slice_imputation.synthesis import Synthesis, synthesise_halfway

Term = Callable[[Synthesis], Tensor | None]
TERMS: dict[str, Term] = {}
"""Every term by the name of its λ, in the order of definition, which is that of their sum."""


def term(name: str) -> Callable[[Term], Term]:
    """Register a function as the loss term of that name.

    Raises:
        ValueError: If there is a term of that name already.
    """

    def register(function: Term) -> Term:
        if name in TERMS:
            msg = f"loss term {name}: there is one in {TERMS[name].__module__}: rename one"
            raise ValueError(msg)
        TERMS[name] = function
        return function

    return register


def require_terms(names: Iterable[str], where: str) -> None:
    """Refuse a λ whose loss term does not exist.

    Args:
        names: Of the λ.
        where: The parameter that holds them, for the message.

    Raises:
        ValueError: Naming the unknown λ and those that exist.
    """
    unknown = [name for name in names if name not in TERMS]
    if unknown:
        msg = f"{where}: expected loss terms among {', '.join(TERMS)}, got {', '.join(unknown)}"
        raise ValueError(msg)


@term("rec")
def reconstruction(made: Synthesis) -> Tensor:
    """Mean absolute error of the synthetic slices, eq. (7) (index slips mended).

    Example:
        >>> from types import SimpleNamespace
        >>> zero = torch.zeros(1, 1, 1, 2, 2)
        >>> reconstruction(SimpleNamespace(slices=zero + 1, real=zero))
        tensor(1.)
    """
    return F.l1_loss(made.slices, made.real)


@term("warp")
def warping(made: Synthesis) -> Tensor:
    """Mean absolute error of the slices that each flow alone predicts, eq. (9).

    With backward flows: each outer slice from the other one by a flow between them, and each inner
    slice from both outer ones by F̂_{n→0} and F̂_{n→N+1}.
    """
    first, last, real = made.batch.first, made.batch.last, made.real
    between = F.l1_loss(warp(last, made.flows.forward), first) + F.l1_loss(
        warp(first, made.flows.backward), last
    )
    inner = [
        F.l1_loss(warp(first, motion.to_first), real[:, n])
        + F.l1_loss(warp(last, motion.to_last), real[:, n])
        for n, motion in enumerate(made.motions)
    ]
    return between + sum(inner[1:], inner[0]) / len(inner)


@term("smooth")
def smoothness(made: Synthesis) -> Tensor:
    """Mean absolute in-plane gradient of both flows, pixels per pixel, eq. (10).

    Example:
        >>> from types import SimpleNamespace
        >>> ramp = torch.arange(3.0).expand(1, 2, 3, 3)
        >>> smoothness(SimpleNamespace(flows=(ramp, ramp)))
        tensor(2.)
    """
    gradients = [flow.diff(dim=dim).abs().mean() for flow in made.flows for dim in (2, 3)]
    return torch.stack(gradients).sum()


@term("tp_smooth")
def through_plane_smoothness(made: Synthesis) -> Tensor:
    """Mean squared differences in the sagittal and the coronal views, eq. (12).

    The views cut the stack I_0, Î_1 … Î_N, I_{N+1}: the sagittal one holds differences across
    slices and along rows, the coronal one across slices and along columns; both are summed.

    Example:
        Two flat slices, 0 and 1, and one half-way: each of the two steps costs 0.25 in each view.

        >>> from types import SimpleNamespace
        >>> zero = torch.zeros(1, 1, 2, 2)
        >>> outer = SimpleNamespace(first=zero, last=zero + 1)
        >>> through_plane_smoothness(SimpleNamespace(batch=outer, slices=zero[:, None] + 0.5))
        tensor(0.5000)
    """
    stack = torch.cat([made.batch.first[:, None], made.slices, made.batch.last[:, None]], 1)
    across, rows, columns = (stack.diff(dim=dim).square().mean() for dim in (1, 3, 4))
    return 2 * across + rows + columns


@term("error")
def error_likelihood(made: Synthesis) -> Tensor | None:
    """Negative log-likelihood of the errors at the predicted size, Laplace, mean over voxels.

    |e| / b + log b is least where b is the expected absolute error. Only b learns from it: the
    slices are constants here. None for a network that does not predict its error.

    Example:
        Where every error is 0.5, predicting 0.5 costs 1 + log 0.5:

        >>> from types import SimpleNamespace
        >>> flat = torch.zeros(1, 1, 1, 2, 2)
        >>> motion = SimpleNamespace(error=flat[:, 0] + 0.5)
        >>> made = SimpleNamespace(slices=flat + 0.5, real=flat, motions=[motion])
        >>> round(float(error_likelihood(made)), 4)
        0.3069
    """
    predicted = [motion.error for motion in made.motions if motion.error is not None]
    if not predicted:
        return None
    error = (made.slices - made.real).detach().abs().mean(2, keepdim=True)
    expected = torch.stack(predicted, 1).clamp(min=1e-3)
    return (error / expected + expected.log()).mean()


@term("high")
def high_frequencies(made: Synthesis) -> Tensor | None:
    """Mean absolute error of the high frequencies; None for a network without their head."""
    high = synthetic_high(made)
    return None if high is None or made.batch.high is None else F.l1_loss(high, made.batch.high)


@term("upsampled")
def near_upsampled(made: Synthesis) -> Tensor | None:
    """Mean absolute difference of what lies between acquired slices from their interpolation.

    It holds a critic of reformatted planes to the scan. None for batches without acquired slices.
    """
    if made.fine is None:
        return None
    slices = made.batch.slices[made.batch.is_acquired]
    every = (made.fine.shape[1] - 1) // (slices.shape[1] - 1)
    t = torch.arange(1, every, device=slices.device).view(1, 1, -1, 1, 1, 1) / every
    linear = torch.lerp(slices[:, :-1, None], slices[:, 1:, None], t)
    whole = made.fine[:, :-1]
    between = whole.reshape(len(slices), -1, every, *whole.shape[2:])[:, :, 1:]
    return F.l1_loss(between, linear)


@term("cycle")
def cycle(made: Synthesis) -> Tensor | None:
    """Mean absolute error of the middle slice, predicted from synthetic ones beside it.

    The slices half-way to both neighbours are synthesised, and from these two the middle one: the
    network works at the distance of acquired slices, where no slice in between is known. None for
    groups of other than three slices (N = 1).
    """
    if made.real.shape[1] != 1:
        return None
    batch, real = made.batch, made.real[:, 0]
    outer = torch.cat([batch.first, batch.last], 1)
    before = synthesise_halfway(made.network, Pair(batch.first, real, outer))
    after = synthesise_halfway(made.network, Pair(real, batch.last, outer))
    return F.l1_loss(synthesise_halfway(made.network, Pair(before, after)), real)


@term("per")
def perceptual(made: Synthesis) -> Tensor | None:
    """Mean squared difference of VGG16 features, eq. (8), as implementations read its norm."""
    if made.features is None:
        return None
    synthetic, real = made.slices.flatten(0, 1), made.real.flatten(0, 1)
    return F.mse_loss(made.features(synthetic), made.features(real))


@term("adv")
def adversarial(made: Synthesis) -> Tensor | None:
    """Cross-entropy of both discriminators' "real" for synthetic slices, eq. (11).

    Non-saturating, as printed. None for a network without critics.

    Example:
        A discriminator that cannot tell costs log 2.

        >>> from types import SimpleNamespace
        >>> undecided = lambda slices: {"global": torch.zeros(len(slices))}
        >>> made = SimpleNamespace(slices=torch.zeros(3, 1, 1, 2, 2), critics=undecided)
        >>> round(float(adversarial(made)), 4)
        0.6931
    """
    if made.critics is None:
        return None
    logits = made.critics(made.slices.flatten(0, 1))
    given = [logits[name] for name in ("global", "local") if name in logits]
    costs = [F.binary_cross_entropy_with_logits(each, torch.ones_like(each)) for each in given]
    return torch.stack(costs).sum()


def against(name: str, made: Synthesis) -> Tensor | None:
    """Cross-entropy of one further critic's "real" for what is synthetic (`critics.KINDS`).

    None without that critic, or for a batch that it does not judge.
    """
    kind = KINDS[name]
    seen = kind.synthetic(made)
    if made.critics is None or seen is None:
        return None
    real = kind.real(made) if kind.relativistic else None
    on_real = None if real is None else made.critics(None, {name: real})[name]
    return fooling_loss(on_real, made.critics(None, {name: seen})[name])


for _name in KINDS:
    term(_name)(partial(against, _name))
