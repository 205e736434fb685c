"""Backward warping and intermediate flows: equations (1) to (3) of Slice Imputation."""

import torch
from torch import Tensor


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample `image` where `flow` points: g(I, F) of eq. (3), bilinear, clamped at the border.

    Written with gathers: `grid_sample` rounds its normalised coordinates, so that a zero flow
    would change a 512-pixel slice by 1e-5; here a zero flow is the identity to the bit.

    Args:
        image: `(B, C, H, W)`, H and W at least 2.
        flow: `(B, 2, H, W)`, displacement (row, column) in pixels.

    Returns:
        `(B, C, H, W)`.

    Example:
        >>> ramp = torch.arange(4.0).expand(1, 1, 4, 4)
        >>> warp(ramp, torch.full((1, 2, 4, 4), 0.5))[0, 0, 0]
        tensor([0.5000, 1.5000, 2.5000, 3.0000])
    """
    batch, channels, height, width = image.shape
    row, row_weight = _split(flow[:, 0], height, dim=1)
    column, column_weight = _split(flow[:, 1], width, dim=2)
    corner = (row * width + column).reshape(batch, 1, -1).expand(-1, channels, -1)
    pixels = image.reshape(batch, channels, -1)

    def at(offset: int) -> Tensor:
        return pixels.gather(2, corner + offset).view_as(image)

    upper = torch.lerp(at(0), at(1), column_weight)
    lower = torch.lerp(at(width), at(width + 1), column_weight)
    return torch.lerp(upper, lower, row_weight)


def _split(displacement: Tensor, size: int, dim: int) -> tuple[Tensor, Tensor]:
    """Split positions into the index before, `(B, H, W)`, and the rest, `(B, 1, H, W)`."""
    shape = [1, 1, 1]
    shape[dim] = size
    grid = torch.arange(size, device=displacement.device, dtype=displacement.dtype).view(shape)
    position = (grid + displacement).clamp(0, size - 1)
    # nan stays in the rest, so that a loss shows it; as an index it would be out of bounds
    before = position.detach().nan_to_num().floor().clamp(max=size - 2)
    return before.long(), (position - before).unsqueeze(1)


def intermediate_flows(
    forward: Tensor, backward: Tensor, t: Tensor, form: str = "linear_motion"
) -> tuple[Tensor, Tensor]:
    """Approximate the flows from position t to both inputs: eq. (1) and (2).

    Args:
        forward: F_{0→N+1}, `(B, 2, H, W)`, pixels.
        backward: F_{N+1→0}, same shape.
        t: n / (N + 1) in (0, 1), broadcastable to the flows.
        form: `linear_motion` is Super-SloMo's, exact for constant motion; `printed` has
            t where eq. (1) of the paper prints it, and is not.

    Returns:
        F̂_{t→0} and F̂_{t→N+1}.

    Example:
        Constant motion of 4 pixels, a quarter of the way:

        >>> four = torch.full((1, 2, 1, 1), 4.0)
        >>> [f.flatten().tolist() for f in intermediate_flows(four, -four, torch.tensor(0.25))]
        [[-1.0, -1.0], [3.0, 3.0]]
    """
    square = t if form == "printed" else t * t
    to_first = -(1 - t) * t * forward + square * backward
    to_last = (1 - t) ** 2 * forward - t * (1 - t) * backward
    return to_first, to_last
