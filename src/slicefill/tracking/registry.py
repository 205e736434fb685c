"""The model registry: trained checkpoints as models that load and serve without this project."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version as version_of
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.tracking.calls import known_id
from slicefill.tracking.channel import open_client
from slicefill.tracking.runs import current_run, made
from slicefill.types import Array, Checkpoint

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

logger = logging.getLogger(__name__)
_SCRIPT = Path(__file__).with_name("served_model.py")
_OUTPUT = {"imputation": np.float32, "segmentation": np.uint8}
_REQUIRES = ("slicefill", "torch", "numpy")


@dataclass(frozen=True)
class ModelFile:
    """A checkpoint on disk and how it is registered.

    Attributes:
        design: Experiment, axis and factor.
        method: Which imputes, or the network that segments.
        kind: `imputation` or `segmentation`.
        read: Reads the checkpoint.
        fingerprint: Digest of all that the model depends on.
        config: Parameters that the model needs besides its checkpoint, plain values.
        axis: Array axis across the slices for callers who name none; -1: by the spacing.
        factor: How many times wider slices lie than pixels, for callers who name no spacing.
    """

    design: str
    method: str
    kind: str
    read: Callable[[], Checkpoint]
    fingerprint: str
    config: dict[str, Any]
    axis: int
    factor: int

    @property
    def name(self) -> str:
        """In the registry."""
        return f"{self.design}-{self.method}"


def register_model(model: ModelFile) -> None:
    """Register a new version, unless the newest one has the same fingerprint.

    Nothing happens without a run, or as long as its server is away: the next run that finds the
    checkpoint registers it. What goes wrong is told; it does not end the run.
    """
    run = current_run()
    if run is None or run.channel.outbox.exists():
        return
    from mlflow.exceptions import MlflowException

    model = _named_by_weights(model)
    client = open_client(run.channel.uri)
    try:
        if _newest_fingerprint(client, model.name) == model.fingerprint:
            return
        made()
        number = known_id(run.key)
        version = number and _register(client, number, model, dict(run.tags))
    except (MlflowException, OSError) as error:
        logger.warning("%s is not registered, the next run tries again: %s", model.name, error)
    else:
        if version:
            logger.info("registered: models:/%s/%s", model.name, version)


def _named_by_weights(model: ModelFile) -> ModelFile:
    """Name a model that holds the shipped weights after them, not after the method that kept them.

    Adaptation keeps them where the adapted ones are no better.
    """
    from slicefill.imputation.methods.pretrained import PRETRAINED

    if model.kind != "imputation" or model.read().get("kind") != PRETRAINED:
        return model
    return replace(model, method=PRETRAINED)


def _newest_fingerprint(client: "MlflowClient", name: str) -> str | None:
    versions = client.search_model_versions(
        f"name = '{name}'", max_results=1, order_by=["version_number DESC"]
    )
    return versions[0].tags.get("fingerprint") if versions else None


def _register(client: "MlflowClient", run: str, model: ModelFile, tags: dict[str, str]) -> str:
    from mlflow.entities import LoggedModelOutput

    tags = {**tags, "kind": model.kind, "fingerprint": model.fingerprint}
    experiment = client.get_run(run).info.experiment_id
    logged = client.create_logged_model(experiment, model.name, run, tags, {}, model.kind)
    with TemporaryDirectory() as folder:
        save_model(model, Path(folder, "model"), logged.model_id)
        client.log_model_artifacts(logged.model_id, str(Path(folder, "model")))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(logged.model_id, 0)])
    if not client.search_registered_models(f"name = '{model.name}'", max_results=1):
        client.create_registered_model(model.name, {"kind": model.kind})
    source = f"models:/{logged.model_id}"
    created = client.create_model_version(
        model.name, source, run, tags, await_creation_for=0, model_id=logged.model_id
    )
    return str(created.version)


def save_model(model: ModelFile, folder: Path, model_id: str | None = None) -> None:
    """Write the model as MLflow's models from code: a script, the checkpoint, no pickle."""
    import torch
    from mlflow import pyfunc
    from mlflow.models import Model

    config = {"kind": model.kind, "name": model.method, **model.config}
    with TemporaryDirectory() as work:
        checkpoint = Path(work, "checkpoint.pt")
        torch.save(model.read(), checkpoint)
        pyfunc.save_model(
            folder,
            mlflow_model=Model(model_id=model_id),
            python_model=str(_SCRIPT),
            artifacts={"checkpoint": str(checkpoint)},
            model_config=json.loads(json.dumps(config)),  # YAML knows no tuples
            signature=_signature(model),
            input_example=_example(),
            pip_requirements=_requirements(),
        )


def _example() -> Array:
    """A volume of three slices, `(16, 16, 3)`, brighter from one corner to the other."""
    return np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)


def _signature(model: ModelFile) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    volume = TensorSpec(np.dtype(np.float32), (-1, -1, -1))
    made = TensorSpec(np.dtype(_OUTPUT[model.kind]), (-1, -1, -1))
    spacing = [1.0, 1.0, 1.0]
    spacing[model.axis] = float(model.factor)
    params = [
        ParamSpec("spacing", "double", spacing, (-1,)),
        ParamSpec("axis", "long", model.axis),
    ]
    if model.kind == "imputation":
        params.append(ParamSpec("count", "long", -1))
    return ModelSignature(Schema([volume]), Schema([made]), ParamSchema(params))


@cache
def _requirements() -> list[str]:
    """Fix the versions; without it MLflow finds them by running the model, which takes long."""
    return [f"{name}=={version_of(name).partition('+')[0]}" for name in _REQUIRES]
