"""The segmentation engines, a KIND: every file or package in this folder is one.

An engine stands in `conf/` as an entry of `segmentation.engines`: its `kind`, which is the name of
the file, and the fields of the file's `Params`. `docs/how-to/new_engine.md` writes one.
"""

from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from slicefill.params import PredictionParams, SegmentationParams
from slicefill.plugins import System, find_system
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
    from slicefill.training.fit import Run

FOLDER = __name__


class EngineFile(Protocol):
    """What a file in this folder defines."""

    Params: type[BaseModel]

    def training_fingerprint(
        self, data: "SegmentationData", params: Any, setting: "Setting"
    ) -> str:
        """Return the fingerprint of all that training reads, before it is done."""

    def train(
        self, data: "SegmentationData", params: Any, setting: "Setting", run: "Run"
    ) -> Checkpoint:
        """Train, and return what `load` needs: tensors and plain values.

        Args:
            data: Scans; only voxels with a weight above 0 are learned from.
            params: The entry, validated.
            setting: What all engines share: optimisation, augmentation, seed, hardware.
            run: State keeper and reporter; picklable, as the data, where there are several devices.
        """

    def load(self, checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
        """Make a predictor on the device of `segmentation.hardware`.

        Args:
            checkpoint: What `train` returned; it is served without its entry.
            segmentation: Sliding window and hardware.
        """


def find_engine(name: str, params: SegmentationParams) -> System:
    """Return the engine of an entry of `segmentation.engines`.

    Raises:
        ValueError: If there is no such entry or kind, or the entry does not fit its `Params`.
    """
    if name not in params.engines:
        msg = f"segmentation.engines: expected one of {', '.join(params.engines)}, got {name!r}"
        raise ValueError(msg)
    return find_system(FOLDER, f"segmentation.engines.{name}", params.engines[name])
