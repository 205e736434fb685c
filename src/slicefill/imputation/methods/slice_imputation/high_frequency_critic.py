"""The critic of high frequencies: of two sets of them, which is the more real?

Shi et al. (2021): it sees nothing but the high frequencies, and it is relativistic, so that it has
something to say as long as the synthetic ones differ.
"""

from torch import Tensor

from slicefill.imputation.methods.slice_imputation.critic_kind import CriticKind
from slicefill.imputation.methods.slice_imputation.frequency import synthetic_high
from slicefill.imputation.methods.slice_imputation.networks import Discriminator
from slicefill.imputation.methods.slice_imputation.synthesis import Synthesis


def _real(made: Synthesis) -> Tensor | None:
    high = made.batch.high
    return None if high is None else high.flatten(0, 1)


def _synthetic(made: Synthesis) -> Tensor | None:
    high = synthetic_high(made)
    return None if high is None else high.flatten(0, 1)


KIND = CriticKind(Discriminator, _real, _synthetic, relativistic=True)
