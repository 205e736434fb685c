"""How a fused label map differs from the truth: what is missed, what is too much, how far off."""

from slicefill.metrics import Metric
from slicefill.metrics.overlap import MaskPair

_NAN = float("nan")


def missed(pair: MaskPair) -> float:
    """Share of the truth that is not found, 1 - |P ∩ T| / |T|: under-segmentation."""
    found, real = pair.slices
    return 1 - int((found & real).sum()) / int(real.sum()) if real.any() else _NAN


def excess(pair: MaskPair) -> float:
    """Share of what is found that is not true, 1 - |P ∩ T| / |P|: over-segmentation."""
    found, real = pair.slices
    return 1 - int((found & real).sum()) / int(found.sum()) if found.any() else _NAN


METRICS = (
    Metric("missed", missed, label="missed", unit="fraction", of=("fusions",), better="lower",
           ideal=0),
    Metric("excess", excess, label="excess", unit="fraction", of=("fusions",), better="lower",
           ideal=0),
    Metric("rms", lambda pair: pair.distances.rms, label="RMS surface distance", unit="mm",
           of=("fusions",), better="lower", ideal=0, digits=2),
)  # fmt: skip
