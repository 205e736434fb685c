"""raw scans → scans imputed by shipped weights that have learned from these scans, and a report."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import evaluation, stage
from slicefill.pipelines.adaptation.nodes import ask_for_adaptation
from slicefill.pipelines.imputation.pipeline import impute_by


def create_pipeline(**_: object) -> Pipeline:
    """Build the adaptation pipeline (`kedro run --pipelines=adaptation`).

    The imputation pipeline with `imputation.adapt` set, and the evaluation.
    """
    ask = Node(
        ask_for_adaptation,
        inputs=["params:imputation", "params:adaptation"],
        outputs="adapting_imputation",
        name="ask_for_adaptation",
    )
    return (
        stage("adaptation", [ask]) + impute_by("adapting_imputation") + evaluation.create_pipeline()
    )
