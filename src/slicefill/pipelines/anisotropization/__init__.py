"""isotropic cases → anisotropic cases that know which slices were removed."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.anisotropization.nodes import subsample_cases


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
