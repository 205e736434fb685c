"""Devices, precision and processes of a training, by Lightning Fabric."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from slicefill.params.base import HardwareParams
from slicefill.training.ranks import machine_rank

T = TypeVar("T")
Work = Callable[[Fabric], dict[str, Any]]
_MEETING = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")  # by which machines find each other
_START: dict[str, Literal["spawn", "fork"]] = {
    "auto": "spawn",
    "ddp_spawn": "spawn",
    "ddp_fork": "fork",
}


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
        ValueError: If more than one device is asked for: only training can use them.
    """
    if params.processes > 1:
        msg = (
            f"hardware: expected devices 1 and num_nodes 1, got {params.devices} and "
            f"{params.num_nodes}; only training takes more"
        )
        raise ValueError(msg)
    fabric = make_fabric(params)
    fabric.launch()
    return fabric


def launch(params: HardwareParams, work: Work) -> dict[str, Any]:
    """Run `work` on every device, and return what that of rank 0 returned.

    One device works in this process. For several, processes are started on every machine, and
    their gradients are averaged by distributed data parallel.

    Args:
        params: How many devices on how many machines.
        work: Called with the Fabric of its process; picklable where there are several. Returns
            tensors and plain values, the same in every process.

    Raises:
        ValueError: If machines are asked for that cannot find each other.
    """
    if params.processes == 1:
        return work(launch_fabric(params))
    start: Callable[..., None] = make_fabric(params).launch  # typed without arguments
    with TemporaryDirectory() as folder:
        path = Path(folder, "result.pt")
        start(_keep_result, path, work)
        return dict(torch.load(path, weights_only=True))


def _keep_result(fabric: Fabric, path: Path, work: Work) -> None:
    """Write the result to a file: tensors that a process returns are lost when it ends."""
    if not fabric.is_global_zero:
        logging.disable(logging.WARNING)  # each would log the same
    result = work(fabric)
    if fabric.local_rank == 0:
        torch.save(result, path)


def make_fabric(params: HardwareParams) -> Fabric:
    """Make a Fabric that is not launched yet.

    Raises:
        ValueError: If a device is asked for that is not there, or machines that cannot find each
            other.
    """
    _require_machines(params)
    _require_device(params)
    on_gpu = params.accelerator != "cpu" and torch.cuda.is_available()
    autocast = params.precision == "bf16-mixed" or (
        params.precision == "auto" and _computes_bf16(on_gpu)
    )
    plugins: list[Any] = [Autocast("bf16-mixed", "cuda" if on_gpu else "cpu")] if autocast else []
    strategy: DDPStrategy | str = "auto"
    if params.processes > 1:
        # Buffers are not broadcast: two passes before one backward must not change them in place,
        # and rank 0 validates alone.
        strategy = DDPStrategy(start_method=_START[params.strategy], broadcast_buffers=False)
        plugins.append(LightningEnvironment())  # not SLURM's, which expects a task per device
    return Fabric(
        accelerator=params.accelerator,
        devices=params.devices,
        num_nodes=params.num_nodes,
        strategy=strategy,
        plugins=plugins,
    )


def mean_over_processes(fabric: Fabric, values: Mapping[str, float]) -> dict[str, float]:
    """Average named values over all processes, which must have the same names."""
    if fabric.world_size == 1 or not values:
        return dict(values)
    stacked = torch.tensor(list(values.values()), dtype=torch.float64, device=fabric.device)
    means: Tensor = fabric.all_reduce(stacked, reduce_op="mean")  # type: ignore[assignment]
    return dict(zip(values, means.tolist(), strict=True))


def sum_over_processes(fabric: Fabric, values: Tensor) -> Tensor:
    """Add up a tensor over all processes; gradients flow back to each."""
    if fabric.world_size == 1:
        return values
    gathered: Tensor = fabric.all_gather(values, sync_grads=True)  # type: ignore[assignment]
    return gathered.sum(0)


def rank_slice(fabric: Fabric) -> slice:
    """Return which items of a batch that all processes draw alike this process takes.

    Every `world_size`-th one, from the number of its rank on.

    Example:
        >>> from types import SimpleNamespace
        >>> [0, 1, 2, 3, 4][rank_slice(SimpleNamespace(global_rank=1, world_size=2))]
        [1, 3]
    """
    return slice(fabric.global_rank, None, fabric.world_size)


def first_for_all(fabric: Fabric, make: Callable[[], T]) -> T:
    """Let rank 0 make a value, and give it to all."""
    return cast(T, fabric.broadcast(make() if fabric.is_global_zero else None))


def _require_machines(params: HardwareParams) -> None:
    missing = [name for name in _MEETING if name not in os.environ]
    if params.num_nodes > 1 and missing:
        msg = (
            f"hardware.num_nodes {params.num_nodes}: expected {', '.join(_MEETING)} in the "
            f"environment of every machine, got no {', '.join(missing)}; set NODE_RANK to 0, 1, "
            "..., the others to address and a free port of machine 0"
        )
        raise ValueError(msg)
    if machine_rank() >= params.num_nodes:
        msg = (
            f"hardware.num_nodes {params.num_nodes}: expected a NODE_RANK below it, got "
            f"{machine_rank()}; only the training that asks for several machines runs on all"
        )
        raise ValueError(msg)


def _require_device(params: HardwareParams) -> None:
    mps = torch.backends.mps.is_available()
    there = {"gpu": mps or torch.cuda.is_available(), "mps": mps}
    if not there.get(params.accelerator, True):
        msg = (
            f"hardware.accelerator {params.accelerator}: expected such a device on this machine, "
            "found none; take auto or cpu (--device)"
        )
        raise ValueError(msg)


def _computes_bf16(on_gpu: bool) -> bool:
    if on_gpu:
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
