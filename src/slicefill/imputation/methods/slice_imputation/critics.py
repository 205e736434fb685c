"""The critics: global discriminator, multitask model, further kinds; losses: eq. (13), (14)."""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation import (
    high_frequency_critic,
    reformatted_critic,
    slab_critic,
)
from slicefill.imputation.methods.slice_imputation.critic_kind import CriticKind, judging_loss
from slicefill.imputation.methods.slice_imputation.networks import (
    Attention,
    Discriminator,
    ObjectClassifier,
)
from slicefill.imputation.methods.slice_imputation.params import Parts
from slicefill.types import Checkpoint

KINDS: Mapping[str, CriticKind] = {
    "adv_slab": slab_critic.KIND,
    "adv_high": high_frequency_critic.KIND,
    "adv_reformatted": reformatted_critic.KIND,
}
"""The critics of more than single slices, by the name of their λ."""


class Critics(nn.Module):
    """The networks that compete with the synthesis network, as far as `parts` has them.

    The local discriminator and the object classifier see the slice through one attention.

    Args:
        channels: Image channels.
        width: Channels of the attention and of the discriminators' first level.
        parts: Which critics of single slices take part.
        further: Which of `KINDS` do; other names are passed over.
    """

    def __init__(
        self, channels: int, width: int, parts: Parts, further: Iterable[str] = ()
    ) -> None:
        super().__init__()
        self.global_discriminator = (
            Discriminator(channels, width) if parts.global_discriminator else None
        )
        self.multitask = (
            nn.ModuleDict(
                {
                    "attention": Attention(channels, width),
                    "local_discriminator": Discriminator(width, width),
                    "classifier": ObjectClassifier(width, width),
                }
            )
            if parts.local_discriminator
            else None
        )
        chosen = [name for name in further if name in KINDS]
        self.further = nn.ModuleDict({name: KINDS[name].build(channels, width) for name in chosen})

    def forward(
        self, slices: Tensor | None, further: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return logits `(B,)` of `global`, `local`, `classifier` and of the further kinds.

        Args:
            slices: `(B, C, H, W)`; None: single slices are not judged.
            further: What each further kind sees, by its name.
        """
        logits = {} if slices is None else self._judge_slices(slices)
        logits |= {name: self.further[name](seen) for name, seen in (further or {}).items()}
        return {name: value.float() for name, value in logits.items()}

    def _judge_slices(self, slices: Tensor) -> dict[str, Tensor]:
        logits = {}
        if self.global_discriminator is not None:
            logits["global"] = self.global_discriminator(slices)
        if self.multitask is not None:
            attended = self.multitask["attention"](slices)
            logits["local"] = self.multitask["local_discriminator"](attended)
            logits["classifier"] = self.multitask["classifier"](attended)
        return logits

    def begin_stage(self, apart: bool) -> None:
        """Choose what learns, as IIA does: attention and classifier apart, then the others."""
        if self.multitask is not None:
            self.multitask["attention"].requires_grad_(apart)
            self.multitask["classifier"].requires_grad_(apart)
            self.multitask["local_discriminator"].requires_grad_(not apart)
        if self.global_discriminator is not None:
            self.global_discriminator.requires_grad_(not apart)
        self.further.requires_grad_(not apart)


def load_critics(checkpoint: Checkpoint) -> Critics | None:
    """Rebuild the critics of a checkpoint, in evaluation mode; None if it was trained without.

    Args:
        checkpoint: With `channels`, `critic_width`, `parts` (`Parts`) and `critics` (a state dict).
    """
    if not checkpoint.get("critics"):
        return None
    parts = Parts.model_validate(checkpoint["parts"])
    further = [
        name for name in KINDS if any(f"further.{name}." in k for k in checkpoint["critics"])
    ]
    critics = Critics(checkpoint["channels"], checkpoint["critic_width"], parts, further)
    critics.load_state_dict(checkpoint["critics"])
    return critics.eval()


def critic_losses(
    on_real: dict[str, Tensor], on_synthetic: dict[str, Tensor], shows_object: Tensor
) -> dict[str, Tensor]:
    """Losses of the critics, eq. (13) and (14), with both terms of the cross-entropy.

    Args:
        on_real: Logits of real slices, `(B,)` each.
        on_synthetic: Logits of the synthetic slices that stand for them, detached.
        shows_object: Y, `(B,)`: 1 with the object, 0 without, nan where there is no label.
            A synthetic slice takes the Y of the slice it stands for.

    Returns:
        `global`, `local`, `classifier` and the further kinds, as far as there are logits of them.
    """
    losses: dict[str, Tensor] = {
        name: _real(on_real[name]) + _synthetic(on_synthetic[name])
        for name in ("global", "local")
        if name in on_real
    }
    for name in KINDS.keys() & on_real.keys():
        losses[name] = judging_loss(on_real[name], on_synthetic[name], KINDS[name].relativistic)
    if "classifier" in on_real:
        losses["classifier"] = classification(on_real["classifier"], shows_object) + (
            classification(on_synthetic["classifier"], shows_object)
        )
    return losses


def classification(logits: Tensor, shows_object: Tensor) -> Tensor:
    """Cross-entropy of the object classifier over the slices that have a label; 0 if none has.

    Example:
        >>> classification(torch.tensor([0.0, 9.0]), torch.tensor([1.0, float("nan")]))
        tensor(0.6931)
    """
    known = ~shows_object.isnan()
    target = shows_object.nan_to_num()
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def _real(logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def _synthetic(logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
