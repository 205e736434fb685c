"""anisotropic cases → synthesis model and learning curves."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.synthesis.nodes import record_history, train_synthesis


def create_pipeline(**_: object) -> Pipeline:
    """Build the synthesis pipeline (`kedro run --pipelines=synthesis`)."""
    return stage(
        "synthesis",
        [
            Node(
                train_synthesis,
                inputs=[
                    "acquired_cases",
                    "splits",
                    "synthesis_states",
                    "best_lambdas",
                    "params:synthesis",
                ],
                outputs="synthesis_models",
                name="train_synthesis",
            ),
            Node(
                record_history,
                inputs=["synthesis_models", "params:synthesis"],
                outputs="synthesis_history",
                name="record_history",
            ),
        ],
    )
