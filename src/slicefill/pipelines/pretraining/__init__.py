"""procedural volumes → the weights that the package ships."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.pretraining.nodes import release_weights, train_on_procedural
from slicefill.pipelines.synthesis.nodes import record_history


def create_pipeline(**_: object) -> Pipeline:
    """Build the pretraining pipeline (`kedro run --pipelines=pretraining --env=pretraining`)."""
    return stage(
        "pretraining",
        [
            Node(
                train_on_procedural,
                inputs=["model_states", "params:variant", "params:pretraining", "parameters"],
                outputs="models",
                name="train_on_procedural",
            ),
            Node(
                record_history,
                inputs=["models", "params:imputation.methods", "parameters"],
                outputs="synthesis_history",
                name="record_history",
            ),
            Node(
                release_weights,
                inputs=["models", "params:variant", "params:pretraining"],
                outputs="released_weights",
                name="release_weights",
            ),
        ],
    )
