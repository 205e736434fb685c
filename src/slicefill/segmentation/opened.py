"""A trained network with all that it needs to segment a case, wherever it comes from."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slicefill.fingerprint import fingerprint
from slicefill.params import InferenceParams, PredictionParams, ScanParams
from slicefill.params.base import HardwareParams
from slicefill.plugins import find_kind
from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.scans import Scan
from slicefill.types import Checkpoint

logger = logging.getLogger(__name__)
_LIKE = (0.67, 1.5)  # ratios of slice spacings at which a network is used as it was trained


@dataclass(frozen=True)
class Opened:
    """A network ready to segment.

    Attributes:
        predictor: From a scan to class probabilities.
        params: Labels, inference, hardware.
        scan: Across which axis slices lie, and which intensities it sees.
        fingerprint: Of the network.
        spacing: Of a scan that it learned from, slices first, mm; empty where that is not known.
    """

    predictor: Predictor
    params: PredictionParams
    scan: ScanParams
    fingerprint: str
    spacing: Sequence[float] = ()

    def expect(self, scan: Scan) -> None:
        """Warn where the slices of a scan lie much nearer or farther than those it learned from."""
        if not self.spacing:
            return
        own, learned = float(scan.spacing[0]), self.spacing[0]
        if not _LIKE[0] < own / learned < _LIKE[1]:
            logger.warning(
                "slices are %.3g mm apart, those that the network learned from %.3g mm: it may "
                "not know what it sees; take one that was trained on acquired slices like these",
                own,
                learned,
            )


def read_network(place: str) -> Checkpoint:
    """Read a network of any format.

    Args:
        place: A checkpoint of ours (.pt), a folder of nnU-Net's results, a TorchScript file, or
            `module:function`. Of the latter two labels are the indices of the classes; all but the
            first see intensities as they are.

    Raises:
        ValueError: If there is no network.
    """
    from slicefill.segmentation.engines.trained.formats import describe, read_own

    path = Path(place).expanduser()
    return read_own(path) if path.suffix == ".pt" else describe(place)


def open_network(
    checkpoint: Checkpoint, inference: InferenceParams, hardware: HardwareParams
) -> Opened:
    """Make a network ready with what its checkpoint says of labels and intensities.

    Args:
        checkpoint: As `read_network` or a training returned it.
        inference: How it predicts.
        hardware: Where.
    """
    from slicefill.segmentation import engines
    from slicefill.segmentation.prediction import make_predictor

    params = PredictionParams(
        label_names=checkpoint["label_names"], inference=inference, hardware=hardware
    )
    scan = ScanParams(through_plane=checkpoint["through_plane"], window=checkpoint["window"])
    engine = find_kind(engines.FOLDER, checkpoint["engine"])
    predictor = make_predictor(engine, checkpoint, params)
    own = checkpoint.get("fingerprint") or fingerprint(checkpoint.get("digest"))
    return Opened(predictor, params, scan, own, tuple(checkpoint.get("spacing", ())))
