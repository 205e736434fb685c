"""SuperMask's AlignNet: a rigid 3D spatial transformer.

Matrices act on normalised coordinates of a cube, -1 to 1 from face to face, x first: they are
rigid because the cube has cubic voxels.
"""

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_KERNEL = 5
_POOLED = 128  # voxels: a cube of so many or more is halved first
_FURTHEST = 0.5  # share of half the cube that one pass can move
_WIDEST = torch.pi / 4  # angle that one pass can turn about each axis


class AlignNet(nn.Module):
    """Convolutions over both views, and two heads for a rotation and a translation.

    Reference:
        Gu et al., SuperMask, MIDL 2023, with the sizes of the published code.
    """

    def __init__(self, side: int, width: int) -> None:
        """Build for cubes of `side` voxels; `width` channels after the first layer, 16 published.

        It begins at the identity: the heads are zero.

        Raises:
            ValueError: If the cube is too small.
        """
        super().__init__()
        self._halve = side >= _POOLED
        left = _left(side // 2 if self._halve else side)
        sizes = [2, width, 2 * width, 4 * width]
        self.layers = nn.ModuleList(nn.Conv3d(a, b, _KERNEL) for a, b in pairwise(sizes))
        self.shared = nn.Linear(sizes[-1] * left**3, 2 * width)
        self.turn, self.shift = nn.Linear(2 * width, 3), nn.Linear(2 * width, 3)
        for head in (self.turn, self.shift):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Find the matrix from the fixed cube to the moving one.

        Args:
            moving: `(B, 1, N, N, N)`, in [0, 1].
            fixed: The same.

        Returns:
            `(B, 4, 4)`.
        """
        seen = torch.cat([moving, fixed], 1)
        seen = F.avg_pool3d(seen, 2) if self._halve else seen
        for layer in self.layers:
            seen = F.relu(F.avg_pool3d(layer(seen), 2))
        shared = F.relu(self.shared(seen.flatten(1)))
        angles = _WIDEST * torch.tanh(self.turn(shared))
        return rigid_matrices(angles, _FURTHEST * torch.tanh(self.shift(shared)))


def _left(side: int) -> int:
    """Voxels along a side after all layers."""
    for _ in range(3):
        side = (side - _KERNEL + 1) // 2
    if side < 1:
        msg = "alignnet: expected a cube of at least 36 voxels: raise cube_mm or lower pitch_mm"
        raise ValueError(msg)
    return side


def rigid_matrices(angles: Tensor, shifts: Tensor) -> Tensor:
    """Return T · R_z · R_x · R_y, `(B, 4, 4)`.

    Args:
        angles: About x, y and z, radians, `(B, 3)`.
        shifts: Along them, in halves of a side of the cube, `(B, 3)`.

    Example:
        >>> quarter, along = torch.tensor([[0, 0, torch.pi / 2]]), torch.tensor([[0, 0, 1.0]])
        >>> turned = rigid_matrices(quarter, along)
        >>> (turned[0] @ torch.tensor([1.0, 0, 0, 1])).round().abs().tolist()
        [0.0, 1.0, 1.0, 1.0]
    """
    about_x, about_y, about_z = (_turn(angles[:, axis], axis) for axis in range(3))
    matrices = torch.eye(4, device=angles.device).repeat(len(angles), 1, 1)
    turned = torch.cat([about_z @ about_x @ about_y, shifts[:, :, None]], 2)
    return torch.cat([turned, matrices[:, 3:]], 1)


def _turn(angles: Tensor, axis: int) -> Tensor:
    """Rotations about one axis, `(B, 3, 3)`."""
    cosine, sine = angles.cos(), angles.sin()
    first, second = [each for each in range(3) if each != axis]
    if axis == 1:
        first, second = second, first
    rows = torch.eye(3, device=angles.device).repeat(len(angles), 1, 1)
    rows[:, first, first] = rows[:, second, second] = cosine
    rows[:, first, second], rows[:, second, first] = -sine, sine
    return rows


def warp(image: Tensor, matrix: Tensor) -> Tensor:
    """Sample a cube where a matrix puts the voxels of another, linear; 0 outside.

    Args:
        image: `(B, C, N, N, N)`.
        matrix: From the other cube to this one, `(B, 4, 4)`.
    """
    grid = F.affine_grid(matrix[:, :3], list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, align_corners=False)


def align(network: nn.Module, moving: Tensor, fixed: Tensor, repeats: int) -> Tensor:
    """Apply a network again and again to what it has moved, and compose what it finds.

    An image that was moved by A and then by B is I(A B x): the first matrix stands first. The
    moving cube itself is sampled each time, so that it is interpolated once.

    Args:
        network: As `AlignNet`.
        moving: `(B, 1, N, N, N)`.
        fixed: The same.
        repeats: Passes.

    Returns:
        From the fixed cube to the moving one, `(B, 4, 4)`.
    """
    matrix = torch.eye(4, device=moving.device).repeat(len(moving), 1, 1)
    for _ in range(repeats):
        matrix = matrix @ cast(Tensor, network(warp(moving, matrix), fixed))
    return matrix
