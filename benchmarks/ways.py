"""The ways to impute a case that the speed benchmark compares, each prepared in its own process.

A process imports only what its way needs, because peak memory includes libraries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from slicefill.params import HardwareParams, ImputationParams
from slicefill.types import Case

Impute = Callable[[Case], Case]
Preparation = Callable[[ImputationParams, Path | None], Impute]
SCIPY = "SciPy cubic"


@dataclass(frozen=True)
class Way:
    """One row of the table.

    Attributes:
        title: Its name there.
        family: Its marker in the figure.
        prepare: Prepares it, given slices per interval and a checkpoint (None: shipped weights).
        precision: Of a network on the CPU, whose fraction of the convolution peak is measured.
    """

    title: str
    family: Literal["other libraries", "slicefill, classical", "slicefill, network"]
    prepare: Preparation
    precision: Literal["fp32", "bf16"] | None = None


def list_ways() -> list[Way]:
    """Return every way that is available on this machine."""
    itk = ("SimpleITK linear", "SimpleITK B-spline", "SimpleITK demons")
    classical = ("nearest", "linear", "cubic", "bspline", "dis", "shape_based", "shape_matched")
    return [
        Way(SCIPY, "other libraries", _scipy),
        *(Way(name, "other libraries", partial(_itk, name)) for name in itk),
        *(Way(name, "slicefill, classical", partial(_classical, name)) for name in classical),
        *_network_ways(),
    ]


def _network_ways() -> list[Way]:
    import torch

    modes = {"fp32": "32-true", "bf16": "bf16-mixed"}
    ways = []
    for device in ("cpu", "gpu") if torch.cuda.is_available() else ("cpu",):
        for name, precision in modes.items():
            hardware = HardwareParams(accelerator=device, devices=1, precision=precision)
            title = f"pretrained, {device.upper()} {name}"
            measured = name if device == "cpu" else None
            ways.append(Way(title, "slicefill, network", partial(_network, hardware), measured))
    return ways


def _scipy(params: ImputationParams, _: Path | None) -> Impute:
    import with_scipy

    return partial(with_scipy.cubic, factor=params.count + 1)


def _itk(name: str, params: ImputationParams, _: Path | None) -> Impute:
    import with_itk

    return partial(with_itk.IMPUTES[name], factor=params.count + 1)


def _classical(name: str, params: ImputationParams, _: Path | None) -> Impute:
    from slicefill.imputation.impute import impute_case
    from slicefill.imputation.imputers import load_named

    return partial(impute_case, imputer=load_named(name, params), params=params)


def _network(hardware: HardwareParams, params: ImputationParams, checkpoint: Path | None) -> Impute:
    from slicefill.imputation.impute import impute_case
    from slicefill.imputation.imputers import learned_imputer

    there = params.model_copy(update={"hardware": hardware})
    imputer = learned_imputer("pretrained", _load(checkpoint), there)
    return partial(impute_case, imputer=imputer, params=there)


def _load(checkpoint: Path | None) -> Any:
    if checkpoint:
        from slicefill.io.checkpoints import read_checkpoint

        return read_checkpoint(checkpoint)
    from slicefill.imputation.methods.pretrained import load_pretrained

    return load_pretrained()
