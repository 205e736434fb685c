"""Training of AlignNet on groups of views, and the network that a checkpoint holds."""

import logging
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from slicefill import __version__
from slicefill.params.base import HardwareParams
from slicefill.registration import register
from slicefill.registration.alignnet.cubes import Cube, from_world, make_cube
from slicefill.registration.alignnet.drawing import Pair
from slicefill.registration.alignnet.learner import AlignLearner
from slicefill.registration.alignnet.network import AlignNet
from slicefill.registration.alignnet.params import Params
from slicefill.training.fit import Run, Schedule, fit
from slicefill.training.hardware import launch_fabric
from slicefill.types import Case, Checkpoint

logger = logging.getLogger(__name__)


def train_alignnet(
    groups: Iterable[Sequence[Case]],
    params: Params,
    run: Run,
    *,
    own: str,
    hardware: HardwareParams,
) -> Checkpoint:
    """Train on views.

    Args:
        groups: The views of every subject, the reference first; read once.
        params: The entry.
        run: State keeper and reporter.
        own: Fingerprint of the training, by which it knows its own last state.
        hardware: Where it runs.

    Returns:
        The checkpoint of the last epoch.

    Raises:
        ValueError: If there is no group with a view that is not empty.
        FloatingPointError: If a loss stops being finite.
    """
    read = tqdm(groups, desc="views to align", unit="subject")
    pairs = [pair for views in read for pair in make_pairs(views, params)]
    if not pairs:
        msg = "alignnet: expected views to learn from, got none: choose training subjects with some"
        raise ValueError(msg)
    torch.manual_seed(params.seed)
    device = launch_fabric(hardware).device
    learner = AlignLearner(AlignNet(params.side, params.width), pairs, params, device)
    progress = fit(learner, Schedule(params.epochs, params.epochs, None), run, own)
    return {
        "design": params.model_dump(),
        "weights": progress.best["weights"],
        "history": progress.history,
        "fingerprint": own,
        "version": __version__,
    }


def load_alignnet(checkpoint: Checkpoint) -> tuple[AlignNet, Params]:
    """Return a trained network, on the CPU, and what it was trained with."""
    params = Params.model_validate(checkpoint["design"])
    network = AlignNet(params.side, params.width)
    network.load_state_dict(checkpoint["weights"])
    return network.eval(), params


def make_cubes(views: Sequence[Case], params: Params) -> list[Cube]:
    """Put views onto cubes, the reference first: each about its own middle, or about that of it."""
    reference = make_cube(views[0], params.cube_mm, params.pitch_mm)
    centre = None if params.centred == "mass" else reference.centre
    others = [make_cube(view, params.cube_mm, params.pitch_mm, centre) for view in views[1:]]
    return [reference, *others]


def make_pairs(views: Sequence[Case], params: Params) -> list[Pair]:
    """List the pairs of a subject's views that teach: all, and every view with itself.

    How views lie to each other is known with a teacher; how a view lies to itself always is.
    """
    cubes = make_cubes(views, params)
    lie = _taught(views, params)
    pairs = []
    for a, b in product(range(len(views)), repeat=2):
        between = None
        if a == b:
            between = np.eye(4)
        elif {a, b} <= lie.keys():
            between = from_world(lie[b] @ np.linalg.inv(lie[a]), cubes[a], cubes[b])
        pairs.append(Pair(cubes[a], cubes[b], between))
    return pairs


def _taught(views: Sequence[Case], params: Params) -> dict[int, NDArray[np.float64]]:
    """Where views lie in the world of the first, by number; a view that fails is left out."""
    if params.teacher is None:
        return {}
    lie = {0: np.eye(4)}
    for number, view in enumerate(views[1:], 1):
        try:
            lie[number] = register(views[0], view, params.teacher)
        except ValueError as error:
            logger.warning("alignnet learns without a view: its teacher says: %s", error)
    return lie
