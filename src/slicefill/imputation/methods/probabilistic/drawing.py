"""A completion of a volume, tile by tile, from one draw of the latents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric

from slicefill.imputation.methods.probabilistic.network import ProbabilisticNetwork
from slicefill.imputation.methods.probabilistic.params import STRIDE, SamplingNetworkParams
from slicefill.imputation.methods.probabilistic.rest import Grain
from slicefill.imputation.methods.probabilistic.spread import SpreadPowers
from slicefill.params import ImputationParams
from slicefill.segmentation.stitching import divide
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint, Floats

_TILE = (64, 160, 160)  # voxels that are completed at once; multiples of STRIDE
_OVERLAP = 0.3


class Sample(NamedTuple):
    """A completion of a volume: image and expected error `(S, H, W)`, fields `(K, S, H, W)`."""

    image: Floats
    fields: Floats
    error: Floats


@dataclass(frozen=True)
class Sampler:
    """A trained network that is ready to impute.

    Attributes:
        network: In evaluation mode, on the device of `fabric`.
        ids: Labels that it imputes.
        samples: How many imputations are drawn.
        powers: Of the spread: fitted on validation cases (`fit_spread`).
        grain: Of the errors of validation cases, voxels (`find_grain`).
        fabric: Device and precision.
    """

    network: ProbabilisticNetwork
    ids: tuple[int, ...]
    samples: int
    powers: SpreadPowers
    grain: Grain
    fabric: Fabric


def load_sampler(
    checkpoint: Checkpoint, samples: int | None, imputation: ImputationParams
) -> Sampler:
    """Rebuild a trained network on the device of `imputation.hardware`."""
    fabric = launch_fabric(imputation.hardware)
    ids = tuple(checkpoint["ids"])
    shape = SamplingNetworkParams.model_validate(checkpoint["network"])
    network = ProbabilisticNetwork(shape, len(ids))
    network.load_state_dict(checkpoint["weights"])
    number = samples or checkpoint["samples"]
    powers, grain = checkpoint["spread_powers"], checkpoint["grain"]
    return Sampler(network.eval().to(fabric.device), ids, number, powers, grain, fabric)


def draw_sample(sampler: Sampler, features: Floats, noise: Sequence[Floats]) -> Sample:
    """Complete a volume once.

    Args:
        sampler: The trained network.
        features: `(F, S, H, W)`.
        noise: Of every level, as of `draw_noise`.
    """
    size = features.shape[1:]
    margin = [(0, -n % stride) for n, stride in zip(size, STRIDE, strict=True)]
    padded = np.pad(features, [(0, 0), *margin], mode="edge")
    made = _empty(sampler, padded.shape[1:])
    for tile in _tiles(padded.shape[1:]):
        (a, b, c), (d, e, f) = tile.kept, tile.inside
        for whole, own in zip(made, _complete(sampler, padded, noise, tile), strict=True):
            whole[..., a, b, c] = own[..., d, e, f]
    slices, rows, columns = size
    return Sample(*(part[..., :slices, :rows, :columns] for part in made))


def draw_noise(
    network: ProbabilisticNetwork, size: Sequence[int], rng: np.random.Generator
) -> list[Floats]:
    """Draw the noise of all levels for a volume of `(S, H, W)` voxels, padded to `STRIDE`."""
    padded = [n + -n % stride for n, stride in zip(size, STRIDE, strict=True)]
    return [rng.standard_normal(shape, np.float32) for shape in network.shapes(padded)]


class _Tile(NamedTuple):
    """What is seen, what is kept of it in the volume, and where that lies in the tile."""

    seen: tuple[slice, ...]
    kept: tuple[slice, ...]
    inside: tuple[slice, ...]


def _tiles(size: Sequence[int]) -> Iterator[_Tile]:
    """Divide a volume into tiles that begin at multiples of `STRIDE`."""
    axes = []
    for n, most, stride in zip(size, _TILE, STRIDE, strict=True):
        window = min(n, most) // stride
        parts = divide(n // stride, window, _OVERLAP)
        axes.append([(window * stride, *(stride * edge for edge in part)) for part in parts])
    for chosen in product(*axes):
        yield _Tile(
            tuple(slice(start, start + window) for window, start, _, _ in chosen),
            tuple(slice(first, end) for _, _, first, end in chosen),
            tuple(slice(first - start, end - start) for _, start, first, end in chosen),
        )


@torch.no_grad()
def _complete(
    sampler: Sampler, features: Floats, noise: Sequence[Floats], tile: _Tile
) -> list[Floats]:
    network, device = sampler.network, sampler.fabric.device
    given = torch.from_numpy(np.ascontiguousarray(features[:, *tile.seen]))[None].to(device)
    parts = [torch.from_numpy(_part(level, features, tile))[None].to(device) for level in noise]
    with sampler.fabric.autocast():
        found, _ = network(given, parts)
    image, fields, error = (part[0].float().cpu().numpy() for part in found)
    return [image[0], fields, error[0]]


def _part(noise: Floats, features: Floats, tile: _Tile) -> Floats:
    """Cut the noise of a level that belongs to a tile."""
    coarser = [n // m for n, m in zip(features.shape[1:], noise.shape[1:], strict=True)]
    box = [slice(s.start // c, s.stop // c) for s, c in zip(tile.seen, coarser, strict=True)]
    return np.ascontiguousarray(noise[:, *box])


def _empty(sampler: Sampler, size: Sequence[int]) -> list[Floats]:
    shapes = ((), (sampler.network.labels,), ())
    return [np.empty((*shape, *size), np.float32) for shape in shapes]
