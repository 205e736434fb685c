"""The network of reformatted planes learns from the slices of the very scan that it imputes.

Within a slice every row is known. Rows as far apart as the slices are shown to the network, and
those between them are the truth: the idea of SMORE (Zhao et al., IEEE TMI 40(3), 2021), which blurs
them, too. The anatomy, contrast and noise are those of the scan. The slices beside lie too far away
to stand for planes beside each other: copies of the slice itself stand for them.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from slicefill.imputation.methods.reformatted.infer import PlaneImputer
from slicefill.imputation.methods.reformatted.learner import blunt_mean, rate_factor
from slicefill.imputation.methods.reformatted.patches import PatchBatch, cut_batch
from slicefill.training.optimised_network import OptimisedNetwork, optimise_network
from slicefill.types import Stack

_STEPS, _WARM, _RATE, _CLIP, _AVERAGE = 400, 19, 5e-4, 2.0, 0.99
_BATCH, _WIDTH, _POSITIONS = 24, 64, 3  # patches; pixels of a row; positions seen in a step
_FEWEST, _MOST = 3, 7  # intervals of a patch
_HELD_OUT, _JUDGED = 5, 16  # one slice of so many is held out; batches of these that judge
_FLAT, _TRIES = 0.05, 8  # a patch that varies less, in deviations of the scan, is drawn again
_LEAST_GAIN = -0.1  # dB: rows of a few held-out slices tell no less than that
_TINY = 1e-12


@dataclass(frozen=True)
class OwnSlices:
    """The slices of a scan, and how rows of them are shown.

    Attributes:
        slices: Mean 0 and standard deviation 1, `(n, H, W)`: those of all channels.
        gaps: Rows and columns that lie as far apart as the slices: at least 2, and few enough that
            3 intervals fit; None where they do not.
        drawn: Numbers of the slices that patches are drawn from.
        beside: Planes that are seen on either side.
    """

    slices: Tensor
    gaps: tuple[int | None, int | None]
    drawn: NDArray[np.intp]
    beside: int

    @classmethod
    def of(cls, stack: Stack, beside: int) -> "OwnSlices | None":
        """Take the slices of a stack; None where nothing can be learned from them."""
        if stack.apart is None or len(stack.image) < _HELD_OUT:
            return None
        sizes = stack.image.shape[2:]
        gaps = tuple(_gap(apart, size) for apart, size in zip(stack.apart, sizes, strict=True))
        if gaps == (None, None):
            return None
        shown = stack.normalised()
        shown -= shown.mean()
        shown /= shown.std() + _TINY
        slices = torch.from_numpy(shown).flatten(0, 1)
        both = cast(tuple[int | None, int | None], gaps)
        return cls(slices, both, np.arange(len(slices)), beside)

    def divided(self, channels: int) -> tuple["OwnSlices", "OwnSlices"]:
        """Return the slices to learn from, and those that are held out, of all channels."""
        held_out = self.drawn // channels % _HELD_OUT == _HELD_OUT // 2
        return replace(self, drawn=self.drawn[~held_out]), replace(self, drawn=self.drawn[held_out])

    def draw(self, rng: np.random.Generator) -> PatchBatch:
        """Draw the patches of a step, all of one direction."""
        direction = int(rng.choice([n for n, gap in enumerate(self.gaps) if gap]))
        slices, gap = self.slices, cast(int, self.gaps[direction])
        slices = slices.transpose(1, 2) if direction == 1 else slices
        size = min(_MOST, (slices.shape[1] - 1) // gap) * gap + 1, min(_WIDTH, slices.shape[2])
        batch = cut_batch(torch.stack([self._cut(slices, size, rng) for _ in range(_BATCH)]), gap)
        shown = np.sort(rng.permutation(gap - 1)[:_POSITIONS])
        positions = [batch.positions[n] for n in shown]
        return PatchBatch(batch.acquired, batch.truth[:, :, shown], positions)

    def _cut(self, slices: Tensor, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
        """Cut a patch that shows something, mirrored at random; its planes beside are copies.

        Its mean is 0 and its standard deviation 1.
        """
        for _ in range(_TRIES):
            one = slices[int(rng.choice(self.drawn))]
            row, column = (
                int(rng.integers(n - m + 1)) for n, m in zip(one.shape, size, strict=True)
            )
            patch = one[row : row + size[0], column : column + size[1]]
            if patch.std() > _FLAT:
                break
        patch = patch.flip([axis for axis in (0, 1) if rng.random() < 0.5])
        shown = (patch - patch.mean()) / (patch.std() + _FLAT)
        return shown.expand(2 * self.beside + 1, -1, -1)


def learn_from_slices(
    imputer: PlaneImputer, stack: Stack, seed: int
) -> tuple[PlaneImputer, dict[str, Any]]:
    """Train the network on a scan's own slices; keep the result unless held-out slices lose.

    Args:
        imputer: With the network to start from, which stays as it is.
        stack: The scan. Where `apart` is not known, slices are fewer than 5, or less than 3
            intervals fit into them, nothing is learned.
        seed: Of patches and their order.

    Returns:
        The imputer to use, and for the record `steps` and `gain_db`, of rows of held-out slices
        (None of a training that diverged), whether the weights that learned are `used`, and the
        `gaps` in rows and in columns.
    """
    own = OwnSlices.of(stack, imputer.network.planes // 2)
    if own is None:
        return imputer, {"steps": 0, "gain_db": None, "used": False, "gaps": None}
    known, held_out = own.divided(stack.image.shape[1])
    rng = np.random.default_rng(seed)
    judged = [held_out.draw(rng) for _ in range(_JUDGED)]
    told = {"steps": _STEPS, "gain_db": None, "used": False, "gaps": own.gaps}
    try:
        learned = replace(imputer, network=_train(imputer, known, rng))
    except FloatingPointError:
        return imputer, told
    before, after = (_mean_square(each, judged) for each in (imputer, learned))
    gain = 10 * float(np.log10(before / after))
    used = gain > _LEAST_GAIN
    return (learned if used else imputer), {**told, "gain_db": round(gain, 4), "used": used}


def _train(imputer: PlaneImputer, known: OwnSlices, rng: np.random.Generator) -> Any:
    fabric, network = imputer.fabric, deepcopy(imputer.network).train()
    trained = optimise_network(fabric, network, _RATE, _CLIP)
    mean = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(_AVERAGE))  # type: ignore[no-untyped-call]
    for step in tqdm(range(_STEPS), desc="planes learn from the scan", unit="step", leave=False):
        _step(trained, imputer, known.draw(rng), step)
        mean.update_parameters(network)
    return mean.module.eval()


def _step(trained: OptimisedNetwork, imputer: PlaneImputer, batch: PatchBatch, step: int) -> None:
    trained.set_learning_rate(_RATE * rate_factor(step, _STEPS, _WARM))
    trained.update(imputer.fabric, blunt_mean(_squares(trained.network, imputer, batch)))


def _squares(network: nn.Module, imputer: PlaneImputer, batch: PatchBatch) -> Tensor:
    device = imputer.fabric.device
    made: Tensor = network(batch.acquired.to(device), batch.positions)
    return (made.float() - batch.truth.to(device)).square()


@torch.no_grad()
def _mean_square(imputer: PlaneImputer, batches: list[PatchBatch]) -> float:
    with imputer.fabric.autocast():
        means = [_squares(imputer.network, imputer, batch).mean() for batch in batches]
    return float(torch.stack(means).mean()) + _TINY


def _gap(apart: float, size: int) -> int | None:
    gap = min(max(2, round(apart)), (size - 1) // _FEWEST)
    return gap if gap >= 2 else None
