"""The network of reformatted planes: what lies between the rows of a sagittal or coronal cut."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.reformatted.params import PlaneNetworkParams

_SLOPE = 0.1  # leaky ReLU
_BRANCH, _START = 0.5, 0.1  # scales of what a block and the network add before they have learned
_FIRST = 7  # pixels of the first convolution
_NARROW = 3  # of those of the head
_POSITION = 3  # t, 1 - t, 4 t (1 - t)


class RowConvolution(nn.Conv2d):
    """A convolution along the pixels of a row, without bias; beyond the edge it sees zeros.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Pixels, odd.
        differences: The weights of an output channel sum to zero: it sees differences alone. The
            edge is extended, so that there is no difference beyond it.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, differences: bool = False
    ) -> None:
        super().__init__(inputs, outputs, (1, kernel), bias=False)
        self.differences = differences
        nn.init.kaiming_normal_(self.weight, _SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, D, W)` → `(B, outputs, D, W)`."""
        beside = self.kernel_size[1] // 2
        if not self.differences:
            return F.conv2d(x, self.weight, padding=(0, beside))
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(F.pad(x, (beside, beside, 0, 0), mode="replicate"), weight)


class RowBlock(nn.Module):
    """Two convolutions along a row, whose result is added."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.first = RowConvolution(width, width, kernel)
        self.last = RowConvolution(width, width, kernel)
        with torch.no_grad():
            self.last.weight.mul_(_BRANCH)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, D, W)` → the same."""
        return _active(x + self.last(_active(self.first(x))))


class PlaneNetwork(nn.Module):
    """Makes rows between the acquired rows of planes, beside linear interpolation.

    Each interval is seen with the acquired rows around it, and those of the planes beside, by a
    U-Net along the row: an outline that moves many pixels from row to row lies within its reach. No
    layer has a bias, and the first sees differences alone: brightness and contrast of the planes do
    not matter.

    Args:
        params: Size of the network.
    """

    def __init__(self, params: PlaneNetworkParams) -> None:
        super().__init__()
        widths, kernel, head = params.widths, params.kernel, params.head
        self.slices, self.planes = params.slices, 2 * params.beside + 1
        seen = self.slices * self.planes
        self.first = RowConvolution(seen, widths[0], _FIRST, differences=True)
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(RowConvolution(i, o, 1) for i, o in steps)
        self.blocks = nn.ModuleList(RowBlock(width, kernel) for width in widths)
        self.up = nn.ModuleList(RowConvolution(i + o, i, _NARROW) for i, o in steps)
        self.merged = RowBlock(widths[0], kernel)
        self.position = nn.Linear(_POSITION, widths[0])
        self.see = RowConvolution(widths[0], head, _NARROW)
        self.think = RowConvolution(head, head, _NARROW)
        self.out = RowConvolution(head, 1, _NARROW)
        with torch.no_grad():
            self.out.weight.mul_(_START)

    def forward(self, rows: Tensor, positions: Sequence[float]) -> Tensor:
        """Make rows in every interval.

        Args:
            rows: Acquired, any intensities, `(B, P, D, W)`: of planes that lie beside each other;
                those of the middle one are made.
            positions: N values of t in (0, 1).

        Returns:
            `(B, D - 1, N, W)`.
        """
        seen, own = self._see(rows), rows[:, self.planes // 2]
        return torch.stack([self._make(seen, own, t) for t in positions], 2)

    def _see(self, rows: Tensor) -> Tensor:
        """Features of every interval, for all positions, `(B, widths[0], D - 1, W)`."""
        beyond = self.slices // 2 - 1
        wide = F.pad(rows, (0, 0, beyond, beyond), mode="replicate")
        count = rows.shape[2] - 1
        around = [wide[:, :, k : k + count] for k in range(self.slices)]
        x = _active(self.first(torch.cat(around, 1)))
        x, skips = self.blocks[0](x), []
        for enter, block in zip(self.down, self.blocks[1:], strict=True):
            skips.append(x)
            halved = F.avg_pool2d(x, (1, 2), ceil_mode=True, count_include_pad=False)
            x = block(enter(halved))
        for leave, skip in zip(reversed(self.up), reversed(skips), strict=True):
            doubled = x.repeat_interleave(2, 3)[..., : skip.shape[3]]
            x = _active(leave(torch.cat([skip, doubled], 1)))
        merged: Tensor = self.merged(x)
        return merged

    def _make(self, seen: Tensor, rows: Tensor, t: float) -> Tensor:
        bump = 4 * t * (1 - t)
        scale = self.position(seen.new_tensor([t, 1 - t, bump]))[:, None, None]
        x = _active(self.see(_active(seen * (1 + scale))))
        x = _active(x + self.think(x))
        made: Tensor = (1 - t) * rows[:, :-1] + t * rows[:, 1:] + bump * self.out(x)[:, 0]
        return made


def neighbouring(planes: Tensor, count: int) -> Tensor:
    """Group planes `(n, D, W)` with those beside them, `(n - count + 1, count, D, W)`."""
    return planes.unfold(0, count, 1).movedim(3, 1)


def build_network(checkpoint: Mapping[str, Any]) -> PlaneNetwork:
    """Rebuild the network of a checkpoint, in evaluation mode."""
    from slicefill.training.optimised_network import lay_out

    network = PlaneNetwork(PlaneNetworkParams.model_validate(checkpoint["network"]))
    network.load_state_dict(checkpoint["weights"])
    lay_out(network)
    return network.eval()


def _active(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)
