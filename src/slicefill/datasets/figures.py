"""Figures as PNG files in one folder, and tables of learning curves."""

import io
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview
from kedro_datasets.pandas import CSVDataset

from slicefill.datasets.previews import preview_figures, preview_history
from slicefill.io.storage import location, read_file, replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_RESOLUTION = 160  # dots per inch


def to_png(figure: "Figure | bytes") -> bytes:
    """Return a figure as PNG; one that is drawn already stays as it is."""
    if isinstance(figure, bytes):
        return figure
    content = io.BytesIO()
    figure.savefig(content, dpi=_RESOLUTION)
    return content.getvalue()


class FiguresDataset(AbstractDataset[dict[str, "Figure | bytes"], dict[str, bytes]]):
    """Figures, `<name>.png` each, which load as bytes; a save replaces the whole set."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = location(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, bytes]:
        """Return the files by name, in the order of their names."""
        return {path.stem: read_file(path) for path in sorted(self._filepath.glob("*.png"))}

    def save(self, data: "dict[str, Figure | bytes]") -> None:
        """Write every figure and remove those of an earlier save."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        for path in self._filepath.glob("*.png"):
            path.unlink()
        for name, figure in data.items():
            replace_file(self._filepath / f"{name}.png", to_png(figure))

    def preview(self) -> ImagePreview:
        """Show all figures on one sheet in kedro-viz."""
        return preview_figures(self.load())

    def _exists(self) -> bool:
        return any(self._filepath.glob("*.png"))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class HistoryDataset(CSVDataset):
    """A CSV file with the columns `epoch`, `term` and `value`, and others that identify the run."""

    def preview(self) -> ImagePreview:
        """Draw the curves."""
        return preview_history(self.load())
