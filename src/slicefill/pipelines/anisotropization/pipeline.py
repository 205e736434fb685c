"""isotropic cases → thick cases that know which slices were removed."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.anisotropization.nodes import thicken_cases


def create_pipeline(**_: object) -> Pipeline:
    """Build the anisotropization pipeline (`kedro run --pipelines=anisotropization`)."""
    return stage(
        "anisotropization",
        [
            Node(
                thicken_cases,
                inputs=["cases", "params:anisotropization"],
                outputs="thick_cases",
                name="thicken_cases",
            )
        ],
    )
