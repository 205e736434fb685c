"""From a scan to class probabilities: slice by slice, or in sliding 3D windows."""

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from scipy.special import softmax
from torch import Tensor, nn

from slicefill.params import InferenceParams
from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.scans import Scan
from slicefill.segmentation.stitching import stitch_centres
from slicefill.types import Floats

_MULTIPLE = 16  # pixels: what the 2D U-Net halves four times


def make_predictor(
    fabric: Fabric, network: nn.Module, patch: tuple[int, ...], params: InferenceParams
) -> Predictor:
    """Prepare a network for prediction.

    Args:
        fabric: Device and precision.
        network: From `(B, C, h, w)` or `(B, C, d, h, w)` to logits `(B, K, ...)`.
        patch: Two sizes: whole slices, one by one; three: windows of that size, which overlap
            and are put together as `params.stitching` says.
        params: Overlap, stitching and batch size.
    """

    @torch.no_grad()
    def predict(scan: Scan) -> Floats:
        network.eval()
        image = torch.from_numpy(scan.image).to(fabric.device)
        with fabric.autocast():
            if len(patch) == 2:
                logits = _slices(network, image, patch, params.batch)
            else:
                logits = _windows(network, image, patch, params)
        # Not by torch: there the last bit depends on the number of threads.
        return np.asarray(softmax(logits.float().cpu().numpy(), axis=0))

    return predict


def _slices(network: nn.Module, image: Tensor, patch: tuple[int, ...], batch: int) -> Tensor:
    """Logits `(K, D, H, W)` of slices `(D, C, H, W)`.

    Slices are padded as in training: to the patch at least, evenly on both sides. Instance
    normalisation sees the padding, and other padding would shift it.
    """
    height, width = image.shape[-2:]
    (top, bottom), (left, right) = (
        _margins(*pair) for pair in zip((height, width), patch, strict=True)
    )
    padded = F.pad(image, (left, right, top, bottom), mode="replicate")
    padded = padded.contiguous(memory_format=torch.channels_last)
    made = [network(padded[i : i + batch]).float() for i in range(0, len(image), batch)]
    return torch.cat(made)[..., top : top + height, left : left + width].movedim(1, 0)


def _margins(size: int, least: int) -> tuple[int, int]:
    """Pixels before and after that make `size` a multiple of 16 and at least `least`.

    Example:
        >>> _margins(35, 40), _margins(64, 32)
        ((6, 7), (0, 0))
    """
    full = -(-max(size, least) // _MULTIPLE) * _MULTIPLE
    return (full - size) // 2, full - size - (full - size) // 2


def _windows(
    network: nn.Module, image: Tensor, patch: tuple[int, ...], params: InferenceParams
) -> Tensor:
    """Logits `(K, D, H, W)` of a volume `(D, C, H, W)`."""
    from monai.inferers.utils import sliding_window_inference

    volume = image.movedim(0, 1)[None]
    if params.stitching == "centre":
        return stitch_centres(network, volume[0], patch, params.overlap, params.batch)
    made = sliding_window_inference(
        volume,
        patch,
        params.batch,
        network,
        overlap=params.overlap,
        mode="gaussian",
        padding_mode="replicate",
    )
    return made[0]
