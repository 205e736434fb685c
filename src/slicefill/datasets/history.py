"""A table of learning curves, which kedro-viz shows as curves."""

from kedro_datasets._typing import ImagePreview
from kedro_datasets.pandas import CSVDataset

from slicefill.datasets.previews import preview_history


class HistoryDataset(CSVDataset):
    """A CSV file with columns `epoch`, `term` and `value`, and what else tells runs apart."""

    def preview(self) -> ImagePreview:
        """Draw the curves."""
        return preview_history(self.load())
