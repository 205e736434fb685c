"""A 2D U-Net on slices (Ronneberger et al., 2015) of five levels; the published width is 64."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from slicefill.params import PredictionParams
from slicefill.params.base import Count
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
    from slicefill.training.fit import Run


class Params(BaseParams):
    """Size of the network and of what it sees at once."""

    width: Annotated[int, Field(ge=4)] = Field(description="channels of the first level")
    patch: tuple[Count, Count] = Field(description="pixels; smaller slices are padded")

    @model_validator(mode="after")
    def _patch_can_be_halved(self) -> Self:
        if any(size % 16 for size in self.patch) or max(self.patch) < 32:
            msg = f"patch must be multiples of 16, one of them 32 or more, got {self.patch}"
            raise ValueError(msg)
        return self


def training_fingerprint(data: "SegmentationData", params: Params, setting: "Setting") -> str:
    """Return the fingerprint of scans, entry and optimisation (`EngineFile`)."""
    from slicefill.segmentation.training import network_fingerprint

    return network_fingerprint("unet2d", data, params, setting)


def train(data: "SegmentationData", params: Params, setting: "Setting", run: "Run") -> Checkpoint:
    """Train on labelled slices (`EngineFile`)."""
    from slicefill.segmentation.objectives import supervised
    from slicefill.segmentation.training import train_network

    own = training_fingerprint(data, params, setting)
    made = train_network(data, setting, run, own, partial(design, params), supervised)
    return {"engine": "unet2d", **made}


def load(checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
    """Rebuild the trained network (`EngineFile`)."""
    from slicefill.segmentation.training import load_network

    return load_network(checkpoint, segmentation)


def design(
    params: Any, channels: int, data: "SegmentationData", dropout: float = 0.0
) -> dict[str, Any]:
    """Design the network: plain values, kept in the checkpoint.

    Args:
        params: `width` and `patch`.
        channels: Of the image.
        data: Its classes.
        dropout: After every convolution.
    """
    return {
        "dims": 2,
        "channels": channels,
        "classes": len(data.classes),
        "width": params.width,
        "dropout": dropout,
        "patch": list(params.patch),
    }
