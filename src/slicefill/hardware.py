"""Device and precision, through Lightning Fabric."""

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from slicefill.params import HardwareParams


class Autocast(MixedPrecision):
    """bf16 inside the layers only.

    Fabric's own plugin rounds what goes into a network to 8 bits, intensities and positions t
    included; autocast alone leaves them as they are.
    """

    def convert_input(self, data: Any) -> Any:
        """Return the inputs unchanged."""
        return data


def launch_fabric(params: HardwareParams) -> Fabric:
    """Set up Fabric in this process: bf16 autocast where the processor computes in it, else fp32.

    Raises:
        ValueError: If more than one device is asked for: only segmentation can use them.
    """
    if params.devices > 1:
        msg = (
            f"hardware.devices: expected 1, got {params.devices}; only segmentation.hardware "
            "takes more than one"
        )
        raise ValueError(msg)
    fabric = make_fabric(params)
    fabric.launch()
    return fabric


def make_fabric(params: HardwareParams) -> Fabric:
    """Make a Fabric that is not launched yet; `fabric.launch(function)` runs on every device."""
    on_gpu = params.accelerator != "cpu" and torch.cuda.is_available()
    autocast = params.precision == "bf16-mixed" or (
        params.precision == "auto" and _computes_bf16(on_gpu)
    )
    return Fabric(
        accelerator=params.accelerator,
        devices=params.devices,
        strategy="ddp_spawn" if params.devices > 1 else "auto",
        plugins=[Autocast("bf16-mixed", "cuda" if on_gpu else "cpu")] if autocast else [],
    )


def _computes_bf16(on_gpu: bool) -> bool:
    if on_gpu:
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
