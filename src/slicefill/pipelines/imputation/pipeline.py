"""thick cases + synthesis models → filled cases, verified against their source."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines.imputation.nodes import fill_cases, verify_filled
from slicefill.stage import stage


def create_pipeline(**_: object) -> Pipeline:
    """Build the imputation pipeline (`kedro run --pipelines=imputation`)."""
    return stage(
        "imputation",
        [
            Node(
                fill_cases,
                inputs=[
                    "thick_cases",
                    "splits",
                    "synthesis_models",
                    "super_resolution_models",
                    "params:imputation",
                ],
                outputs="filled_cases",
                name="fill_cases",
            ),
            Node(
                verify_filled,
                inputs=["filled_cases", "thick_cases", "params:imputation", "params:executor"],
                outputs="verification",
                name="verify_filled",
            ),
        ],
    )
