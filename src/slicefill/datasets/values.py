"""Values on disk as JSON: other runs read the file while one writes it."""

import json
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import JSONPreview

from slicefill.datasets.promises import replace_json
from slicefill.io.storage import location, read_file


class ValuesDataset(AbstractDataset[Any, Any]):
    """Values as JSON in a file that is replaced whole or not at all.

    Runs of several shards write the same values, and load them; Kedro's `json.JSONDataset` empties
    the file before it writes, so that another run may find it empty.

    Example:
        ```yaml
        imputing_methods:
          type: slicefill.datasets.values.ValuesDataset
          filepath: data/07_model_output/sample/imputing_methods.json
        ```
    """

    def __init__(
        self, *, filepath: str, optional: bool = False, metadata: dict[str, Any] | None = None
    ) -> None:
        """Point to a file.

        Args:
            filepath: On a disk or in an object store.
            optional: Whether a file that is not there loads as `{}`; otherwise it is an error.
            metadata: For plugins and hooks; not used here.
        """
        self._filepath = location(filepath)
        self._optional = optional
        self.metadata = metadata

    def load(self) -> Any:
        """Return the values."""
        try:
            return json.loads(read_file(self._filepath))
        except FileNotFoundError:
            if self._optional:
                return {}
            raise

    def save(self, data: Any) -> None:
        """Replace the file."""
        replace_json(self._filepath, data)

    def preview(self) -> JSONPreview:
        """Show the values in kedro-viz."""
        return JSONPreview(json.dumps(self.load()))

    def _exists(self) -> bool:
        return bool(self._filepath.exists())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
