"""Device and precision, through Lightning Fabric."""

import torch
from lightning_fabric import Fabric

from slicefill.params import HardwareParams


def launch_fabric(params: HardwareParams) -> Fabric:
    """Set up Fabric: bf16 autocast where the processor computes in it, else fp32."""
    fabric = Fabric(
        accelerator=params.accelerator,
        devices=params.devices,
        precision=_precision(params),
    )
    fabric.launch()
    return fabric


def _precision(params: HardwareParams) -> str:
    if params.precision != "auto":
        return params.precision
    return "bf16-mixed" if _computes_bf16(params.accelerator) else "32-true"


def _computes_bf16(accelerator: str) -> bool:
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
