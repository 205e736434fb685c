"""The window through which networks and confidence see stored numbers."""

from torch import Tensor


def through_window(stored: Tensor, window: Tensor) -> Tensor:
    """Scale stored numbers so that their window becomes [0, 1]; what lies outside is not clipped.

    Args:
        stored: `(..., C, h, w)`.
        window: Low and high of every channel, `(C, 2)`.

    Example:
        >>> import torch
        >>> stored = torch.tensor([100.0, 150.0, 300.0]).view(1, 1, 3)
        >>> through_window(stored, torch.tensor([[100.0, 200.0]])).flatten().tolist()
        [0.0, 0.5, 2.0]
    """
    low, high = window[:, :1, None], window[:, 1:, None]
    return (stored - low) / (high - low)
