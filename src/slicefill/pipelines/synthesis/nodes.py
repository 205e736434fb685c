"""Synthesis node: train on the thick cases of the training persons."""

from typing import Any

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import Slot
from slicefill.params import SynthesisParams
from slicefill.types import Promise

Checkpoint = dict[str, Any]


def train_synthesis(
    thick_cases: dict[str, Promise], splits: pd.DataFrame, slot: Slot, params: SynthesisParams
) -> tuple[dict[str, Checkpoint], pd.DataFrame]:
    """Train the chosen variant; test cases are not even read.

    Returns:
        The checkpoint by variant, and the history of every logged term.

    Raises:
        ValueError: If no case is left for training, or for validation.
    """
    from slicefill.synthesis.train import Run, TrainingData, train

    by_split = {
        name: {case: thick_cases[case] for case in cases if case in thick_cases}
        for name, cases in splits.groupby("split")["case"]
    }
    for name in ("train", "validation"):
        if not by_split.get(name):
            sizes = {split: len(cases) for split, cases in by_split.items()}
            msg = (
                f"ingestion.split: expected cases of a person in {name}, got {sizes}; give more "
                "scans, change the fractions, or fill without training: "
                "--params 'imputation.methods=[linear]' and no synthesis"
            )
            raise ValueError(msg)
    data = TrainingData(by_split["train"], by_split["validation"], params.through_plane)
    checkpoint = train(data, params, Run(slot, tracking.log_metrics))
    return {params.variant: checkpoint}, pd.DataFrame(checkpoint["history"])
