"""Intertwined training from two networks that were trained apart, and what it is used for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from slicefill import __version__
from slicefill.params.base import HardwareParams
from slicefill.registration.alignnet.cubes import make_cube
from slicefill.registration.alignnet.params import Params as AlignParams
from slicefill.registration.alignnet.training import load_alignnet
from slicefill.training.fit import Run, Schedule, fit
from slicefill.training.hardware import launch_fabric
from slicefill.types import Case, Checkpoint, Prediction
from slicefill.views.intertwined.cubes import labelled_cubes, to_view
from slicefill.views.intertwined.learner import IntertwinedLearner, Task
from slicefill.views.intertwined.params import IntertwinedParams
from slicefill.views.intertwined.segmenter import Segmenter

Groups = Iterable[Sequence[Case]]


@dataclass(frozen=True)
class Apart:
    """The networks that were trained apart: checkpoints of an engine and of AlignNet."""

    segmenter: Checkpoint
    aligner: Checkpoint


def intertwine(
    training: Groups,
    validation: Groups,
    apart: Apart,
    params: IntertwinedParams,
    run: Run,
    *,
    own: str,
    hardware: HardwareParams,
) -> Checkpoint:
    """Train both networks by turns.

    Args:
        training: Labelled views of every subject, the reference first; read once.
        validation: The same of other subjects: they choose the epoch, or none is better than what
            training starts from. Without any the last epoch is kept.
        apart: What training starts from.
        params: Weights, rates, lengths.
        run: State keeper and reporter.
        own: Fingerprint of the training, by which it knows its own last state.
        hardware: Where it runs.

    Raises:
        ValueError: If no subject has two labelled views, or the networks cannot be used.
        FloatingPointError: If a loss stops being finite.
    """
    aligner, aligned = load_alignnet(apart.aligner)
    segmenter, classes = _load(apart.segmenter), apart.segmenter["classes"]
    known, others = (
        [labelled_cubes(views, aligned, classes) for views in groups]
        for groups in (training, validation)
    )
    if not any(len(views) > 1 for views in known):
        msg = "intertwined: expected a training subject with two labelled views or more, got none"
        raise ValueError(msg)
    device = launch_fabric(hardware).device
    learner = IntertwinedLearner(segmenter, aligner, Task(known, others, params, aligned), device)
    score = "validation/dice" if others else None
    schedule = Schedule(params.epochs, params.epochs, score, validate_start=bool(others))
    torch.manual_seed(params.seed)
    progress = fit(learner, schedule, run, own)
    return {
        "design": apart.segmenter["design"],
        "aligner": {"design": apart.aligner["design"], "fingerprint": own},
        "weights": progress.best["weights"],
        "classes": classes,
        "epoch": progress.best["epoch"],
        "history": progress.history,
        "fingerprint": own,
        "version": __version__,
    }


def aligner_of(checkpoint: Checkpoint) -> Checkpoint:
    """Return the AlignNet that intertwined training has made, as its own checkpoint."""
    return {**checkpoint["aligner"], "weights": checkpoint["weights"]["aligner"]}


def segment_by_cube(view: Case, checkpoint: Checkpoint) -> Prediction:
    """Segment a view by the segmenter of intertwined training.

    Args:
        view: Image; a label it has is not looked at.
        checkpoint: What `intertwine` returned.

    Returns:
        Labels on the grid of the view.
    """
    aligned = AlignParams.model_validate(checkpoint["aligner"]["design"])
    network = _load({**checkpoint, "weights": checkpoint["weights"]["segmenter"]})
    cube = make_cube(view, aligned.cube_mm, aligned.pitch_mm)
    with torch.inference_mode():
        found = network.eval().probabilities(torch.from_numpy(cube.image)[None, None])[0].numpy()
    ids = np.asarray(checkpoint["classes"])
    label = ids[to_view(found, cube, view.image)].astype(np.min_scalar_type(int(ids.max())))
    stored = view.image.with_stored(label, None, (1.0, 0.0))
    return Prediction(stored, record={"network": checkpoint["fingerprint"]})


def _load(checkpoint: Checkpoint) -> Segmenter:
    segmenter = Segmenter(checkpoint.get("design", {}))
    segmenter.network.load_state_dict(checkpoint["weights"])
    return segmenter
