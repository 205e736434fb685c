"""The model that MLflow loads from code and serves: an array in, an array out."""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from slicefill.types import Array


class ServedModel(PythonModel):
    """Imputes or segments volumes with a trained checkpoint."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read checkpoint and parameters."""
        from slicefill.serving import array_imputer, array_segmenter

        config = dict(context.model_config)
        kind, name, path = config.pop("kind"), config.pop("name"), context.artifacts["checkpoint"]
        if kind == "imputation":
            self.serve = array_imputer(name, path, config["imputation"])
        else:
            self.serve = array_segmenter(path, config)

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # any other hint makes MLflow infer another signature from it
        params: dict[str, Any] | None = None,
    ) -> Array:
        """Impute or segment a volume; see `slicefill.serving`."""
        return self.serve(np.asarray(model_input, np.float32), **(params or {}))


set_model(ServedModel())
