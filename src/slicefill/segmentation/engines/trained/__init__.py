"""A network that somebody has trained already: ours, of nnU-Net v2, TorchScript, or a function."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from slicefill import __version__
from slicefill.fingerprint import fingerprint
from slicefill.params import PredictionParams
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
    from slicefill.training.fit import Run


class Params(BaseParams):
    """Which network."""

    format: Literal["slicefill", "nnunetv2", "torchscript", "python"] = Field(
        description="slicefill: a checkpoint of ours; nnunetv2: a folder of results, with "
        "plans.json and folds; torchscript: from `(1, C, D, H, W)` to logits; python: a function "
        "from a scan to class probabilities"
    )
    path: str = Field(description="file or folder; python: module:function")

    @property
    def place(self) -> str:
        """The path from wherever it is read."""
        return self.path if self.format == "python" else str(Path(self.path).expanduser().resolve())

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        if self.format == "python":
            if not all(self.path.partition(":")):
                msg = f"path: expected module:function, got {self.path!r}"
                raise ValueError(msg)
        elif not Path(self.path).expanduser().exists():
            msg = f"path: expected a network in the format {self.format}, found no {self.path}"
            raise ValueError(msg)
        return self


def training_fingerprint(data: "SegmentationData", params: Params, setting: "Setting") -> str:
    """Return the fingerprint of the network's files (`EngineFile`); nothing is learned here."""
    from slicefill.segmentation.engines.trained.formats import digest

    return fingerprint("trained", data.classes, params, digest(params))


def train(data: "SegmentationData", params: Params, setting: "Setting", run: "Run") -> Checkpoint:
    """Note which network it is (`EngineFile`); nothing is trained."""
    from slicefill.segmentation.engines.trained.formats import note

    return {**note(params), "classes": list(data.classes), "version": __version__}


def load(checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
    """Load the network from its own files (`EngineFile`)."""
    from slicefill.segmentation.engines.trained.formats import load_network

    own = Params(format=checkpoint["format"], path=checkpoint["path"])
    return load_network(own, segmentation)
