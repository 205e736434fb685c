"""The uncertainty-aware mean teacher: unlabelled slices teach where the teacher is sure.

Reference:
    Yu et al., Uncertainty-Aware Self-ensembling Model for Semi-supervised 3D Left Atrium
    Segmentation, MICCAI 2019, and its published code (yulequan/UA-MT); here on slices.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slicefill.segmentation.engines.mean_teacher import Params
from slicefill.segmentation.interface import Objective, PatchBatch, Setting
from slicefill.segmentation.objectives import Drawer, Total, dice_ce
from slicefill.training.fit import State


@dataclass(frozen=True)
class MeanTeacher(Objective):
    """Learn from labels, and from agreement with an average of one's own past.

    With student θ, teacher θ', labelled slices x_l and unlabelled ones x_u, a step minimises

        L_s(f(x_l; θ), y) + λ(t) L_c(f(x_u + ξ; θ), f(x_u + ξ'; θ'), u)

    with L_c of `consistency_loss`, λ(t) = consistency · `gaussian_ramp`(t, ramp_up · steps),
    independent noise ξ and ξ' of `add_noise`, and the certainty of `predict_by_teacher`; then
    `update_ema` moves the teacher. The student is the result.

    The paper's text and code differ in places. As in the code, L_c takes unlabelled slices only,
    labelled ones enter without noise, and the squared difference is a mean over the classes, not
    a sum; as in the text, the student sees noise too. The code halves Dice + cross-entropy: its
    `consistency` of 0.1 is 0.2 beside a loss that does not.

    Attributes:
        teacher: A copy of the student, owned by this object: it stays in training mode, for
            dropout, and has no gradient.
        draw: Draws a labelled and an unlabelled batch with patches of one size, on the device of
            the networks.
        params: Weights, noise, Monte Carlo passes.
        steps: Of the whole training.
        loss: L_s, of logits `(B, K, ...)`, class indices and weights `(B, 1, ...)`.
    """

    teacher: nn.Module
    draw: Callable[[np.random.Generator], tuple[PatchBatch, PatchBatch]]
    params: Params
    steps: int
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __post_init__(self) -> None:
        """Make the teacher one."""
        self.teacher.train().requires_grad_(False)

    def terms(self, network: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return `supervised` and, weighted by λ(t), `consistency`.

        Noise follows from `rng`, dropout from the global generator of torch.
        """
        labelled, unlabelled = self.draw(rng)
        generator = torch.Generator(unlabelled.image.device).manual_seed(int(rng.integers(2**63)))
        noisy = add_noise(unlabelled.image, self.params.noise, generator)
        count = len(labelled.image)
        logits = network(torch.cat([labelled.image, noisy]))  # once: DDP expects one pass a step
        target, uncertainty = predict_by_teacher(
            self.teacher, unlabelled.image, self.params, generator
        )
        fraction = 0.75 + 0.25 * gaussian_ramp(step, self.steps)
        certain = uncertainty < fraction * math.log(logits.shape[1])
        agreed = consistency_loss(logits[count:].float().softmax(1), target, certain)
        ramp = gaussian_ramp(step, self.params.ramp_up * self.steps)
        return {
            "supervised": self.loss(logits[:count], labelled.label, labelled.weight),
            "consistency": self.params.consistency * ramp * agreed,
        }

    def after_step(self, network: nn.Module, step: int) -> None:
        """Let the teacher follow: α = min(1 - 1 / (step + 1), decay), a true mean at first."""
        update_ema(self.teacher, network, min(1 - 1 / (step + 1), self.params.decay))

    def state(self) -> dict[str, Any]:
        """Return the state dict of the teacher."""
        return self.teacher.state_dict()

    def restore(self, state: State) -> None:
        """Continue with the teacher of a state."""
        self.teacher.load_state_dict(state)


def gaussian_ramp(step: int, length: float) -> float:
    """Rise from exp(-5) to 1: exp(-5 (1 - t)²), t = step / length and at most 1.

    Args:
        step: From 0.
        length: Steps until 1 is reached; 0 is at once.

    Reference:
        Laine and Aila, Temporal ensembling, ICLR 2017; Yu et al., section 2.3.

    Example:
        >>> [round(gaussian_ramp(step, 10), 4) for step in (0, 5, 10, 20)]
        [0.0067, 0.2865, 1.0, 1.0]
    """
    left = 1 - step / length if step < length else 0
    return math.exp(-5 * left**2)


def add_noise(image: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise, voxel by voxel, clipped at two standard deviations."""
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    return image + deviation * noise.clamp(-2, 2)


@torch.no_grad()
def predict_by_teacher(
    teacher: nn.Module, image: Tensor, params: Params, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Ask the teacher for class probabilities, and how uncertain it is of them.

    Every pass has noise and dropout of its own. One is the target; over `params.passes` others
    the uncertainty is the predictive entropy u = -Σ_k μ_k ln μ_k, where μ is their mean.

    Args:
        teacher: In training mode.
        image: `(B, C, ...)`, intensities in [0, 1].
        params: Number of passes and noise.
        generator: Source of the noise, on the device of the image.

    Returns:
        Probabilities `(B, K, ...)`, and entropies in [0, ln K], `(B, 1, ...)`.

    Reference:
        Yu et al., equation (2).
    """
    copies = torch.cat([image] * (1 + params.passes))
    probabilities = teacher(add_noise(copies, params.noise, generator)).float().softmax(1)
    target, *passes = probabilities.split(len(image))
    return target, predictive_entropy(torch.stack(passes).mean(0))


def predictive_entropy(probabilities: Tensor) -> Tensor:
    """Entropy over the classes, `(B, K, ...)` → `(B, 1, ...)`; from 0 to ln K.

    Example:
        >>> predictive_entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
        tensor([[0.6931],
                [0.0000]])
    """
    terms: Tensor = torch.special.entr(probabilities)
    return terms.sum(1, keepdim=True)


def consistency_loss(student: Tensor, teacher: Tensor, certain: Tensor) -> Tensor:
    """Mean squared difference of probabilities over certain voxels and classes.

        Σ_v 1[u_v < H] Σ_k (p_vk - p'_vk)² / (K Σ_v 1[u_v < H])

    From 0, which is agreement, to 2 / K; 0 as well, and no gradient, where no voxel is certain.

    Args:
        student: Probabilities p, `(B, K, ...)`.
        teacher: Probabilities p', same shape.
        certain: Whether a voxel counts, `(B, 1, ...)`.

    Reference:
        Yu et al., equation (3).

    Example:
        >>> p, q = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.0, 1.0]])
        >>> consistency_loss(p, q, torch.tensor([[True], [False]]))
        tensor(0.2500)
    """
    squared = (student - teacher).square().mean(1, keepdim=True)
    return (squared * certain).sum() / certain.sum().clamp(min=1)


@torch.no_grad()
def update_ema(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Move the teacher in place: θ' ← α θ' + (1 - α) θ; buffers are copied.

    Args:
        teacher: θ'.
        student: θ; may be wrapped, since parameters are matched by order and not by name.
        decay: α.
    """
    for mean, parameter in zip(teacher.parameters(), student.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)
    for kept, buffer in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(buffer)


def with_mean_teacher(
    params: Params, drawer: Drawer, total: Total, student: nn.Module, setting: Setting
) -> Objective:
    """Learn from labelled slices, and from unlabelled ones by agreement with a teacher.

    A step takes as many labelled patches as one of any other engine, `batch`, and the unlabelled
    ones on top: a baseline must not be weak because it sees fewer labels.
    """
    options, fraction = setting.params.optimisation, params.unlabelled_fraction
    unlabelled = max(1, round(options.batch * fraction / (1 - fraction)))

    def draw(rng: np.random.Generator) -> tuple[PatchBatch, PatchBatch]:
        return drawer(options.batch, rng), drawer(unlabelled, rng, labelled=False)

    steps = options.epochs * options.steps_per_epoch
    return MeanTeacher(copy.deepcopy(student), draw, params, steps, partial(dice_ce, total=total))
