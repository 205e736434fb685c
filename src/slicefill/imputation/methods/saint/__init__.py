"""SAINT (Peng et al., CVPR 2020) up-samples sagittal and coronal slices, by its wheel's weights.

They learned from CT of patients, so they are not shipped: `pip install 'slicefill[saint]'`.
"""

from functools import partial

from slicefill.imputation.methods.classical import with_image
from slicefill.imputation.neighbours import Planes
from slicefill.params.base import Params as BaseParams
from slicefill.params.imputation import ImputationParams
from slicefill.types import Checkpoint, Method

_PLAIN, _SMOOTH, _MOST = 1.05, 0.45, 0.9  # share at 0 dB of smoothness, per dB, most


class Params(BaseParams):
    """Nothing is to be chosen."""


def load(params: Params, checkpoint: Checkpoint | None, imputation: ImputationParams) -> Method:
    """Prepare SAINT alone (`MethodFile`); labels and confidence are those of `shape_matched`.

    Raises:
        ValueError: If its wheel is not installed; says how.
    """
    return with_image(load_planes(imputation)[0].impute, imputation)


def load_planes(imputation: ImputationParams) -> tuple[Planes, str]:
    """Prepare SAINT as a part of another image; return it, and the SHA-256 of its weights.

    Raises:
        ValueError: If its wheel is not installed; says how.
    """
    from slicefill.imputation.methods.saint.infer import impute_by_saint, load_saint

    saint = load_saint(imputation)
    return Planes(partial(impute_by_saint, saint), _share), saint.weights


def _share(smoothness: float, cubic: float) -> float:
    """Of the image, beside the shipped weights and optical flow: the rougher the scan, the less."""
    return min(max(_PLAIN + _SMOOTH * smoothness, 0.0), _MOST) * (1 - cubic) ** 3
