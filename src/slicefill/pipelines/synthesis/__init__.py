"""acquired cases → models that impute, and their learning curves."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.synthesis.nodes import record_history, train_models


def create_pipeline(*, names: str = "params:imputation.methods", **_: object) -> Pipeline:
    """Build the synthesis pipeline (`kedro run --pipelines=synthesis`).

    Args:
        names: The dataset with the names of the methods; those that learn are trained.
    """
    return stage(
        "synthesis",
        [
            Node(
                train_models,
                inputs=[
                    "acquired_cases",
                    "cases",
                    "splits",
                    "model_states",
                    "best_lambdas",
                    names,
                    "parameters",
                ],
                outputs="models",
                name="train_models",
            ),
            Node(
                record_history,
                inputs=["models", names, "parameters"],
                outputs="synthesis_history",
                name="record_history",
            ),
        ],
    )
