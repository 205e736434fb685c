"""isotropic cases → anisotropic cases that know which slices were removed."""

from functools import partial

from kedro.pipeline import Node, Pipeline

from slicefill.fingerprint import fingerprint
from slicefill.pipelines import stage
from slicefill.simulation.subsampling import AnisotropizationParams
from slicefill.types import Case, Promise


def subsample_cases(
    cases: dict[str, Promise], params: AnisotropizationParams
) -> dict[str, Promise]:
    """Promise one anisotropic case per case; nothing is computed before the catalog saves it."""
    return {
        case: Promise(
            partial(_subsample, promise, params), fingerprint(promise.fingerprint, params)
        )
        for case, promise in cases.items()
    }


def _subsample(promise: Promise, params: AnisotropizationParams) -> Case:
    from slicefill.simulation.subsampling import subsample

    return subsample(promise.make(), params)


def create_pipeline(**_: object) -> Pipeline:
    """Build the anisotropization pipeline (`kedro run --pipelines=anisotropization`)."""
    return stage(
        "anisotropization",
        [
            Node(
                subsample_cases,
                inputs=["cases", "params:anisotropization"],
                outputs="acquired_cases",
                name="subsample_cases",
            )
        ],
    )
