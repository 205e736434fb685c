"""thick cases → synthesis model and learning curves."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines.synthesis.nodes import train_synthesis


def create_pipeline(**_: object) -> Pipeline:
    """Build the synthesis pipeline (`kedro run --pipelines=synthesis`)."""
    return Pipeline(
        [
            Node(
                train_synthesis,
                inputs=["thick_cases", "splits", "synthesis_slot", "params:synthesis"],
                outputs=["synthesis_models", "synthesis_history"],
                name="train_synthesis",
            )
        ],
        tags="synthesis",
    )
