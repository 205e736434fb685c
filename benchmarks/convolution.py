"""Cost of the convolutions of a network, and peak speed of convolutions on this machine."""

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

_SHAPES = [  # batch, channels in and out, rows and columns, kernel
    (4, 32, 256, 7),
    (4, 64, 128, 5),
    (8, 64, 128, 3),
    (8, 128, 64, 3),
    (8, 256, 64, 3),
    (8, 512, 32, 3),
]


class Meter:
    """Counts the operations of a network's convolutions and the time spent in the network.

    Attributes:
        flop: Multiplications and additions so far.
        seconds: Time between entry and exit of the network so far.
    """

    def __init__(self, *kinds: type[nn.Module]) -> None:
        """Measure every network of some classes in this process from now on."""
        self.flop = 0
        self.seconds = 0.0
        self._kinds = kinds
        self._entered = 0.0
        register_module_forward_pre_hook(self._enter)
        register_module_forward_hook(self._leave)

    def _enter(self, layer: nn.Module, _: Any) -> None:
        if isinstance(layer, self._kinds):
            self._entered = time.perf_counter()

    def _leave(self, layer: nn.Module, _: Any, output: Tensor) -> None:
        if isinstance(layer, self._kinds):
            self.seconds += time.perf_counter() - self._entered
        elif isinstance(layer, nn.Conv2d):
            self.flop += 2 * output.numel() * layer.weight[0].numel()


def measure_peaks(threads: int) -> dict[str, float]:
    """Return the most operations per second of several large convolutions, by precision."""
    torch.set_num_threads(threads)
    precisions = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {
        name: max(_speed(shape, dtype) for shape in _SHAPES) for name, dtype in precisions.items()
    }


@torch.inference_mode()
def _speed(shape: tuple[int, int, int, int], dtype: torch.dtype) -> float:
    """Operations per second of one convolution, the median of five."""
    batch, channels, size, kernel = shape
    layer = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
    layer = layer.to(dtype=dtype, memory_format=torch.channels_last)
    x = torch.randn(batch, channels, size, size, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    flop = 2 * x.numel() * layer.weight[0].numel()
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        layer(x)
        seconds.append(time.perf_counter() - start)
    return float(flop / statistics.median(seconds[1:]))  # the first one is a warm-up
