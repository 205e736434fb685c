"""What imputation methods learn from, the same for every kind of method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from slicefill.types import Promise


@dataclass(frozen=True)
class LearningData:
    """What a method may learn from.

    Attributes:
        acquired: Cases of acquired slices alone, by case id.
        isotropic: The same before slices were removed; empty where that is not known.
        splits: One row per case: `case`, `subject`, `split` (train, validation or test).
        imputed: Ids of the cases that this run imputes: adaptation learns from their acquired
            slices.
    """

    acquired: Mapping[str, Promise]
    isotropic: Mapping[str, Promise]
    splits: pd.DataFrame
    imputed: Sequence[str] = ()
