"""raw scans → scans imputed by shipped weights that have learned from these scans, and a report."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import evaluation, imputation, stage, synthesis


def choose_methods(names: list[str]) -> tuple[list[str], list[str]]:
    """Return the methods that impute (those named, and `adapted`) and the one that learns."""
    from slicefill.imputation.methods.pretrained import ADAPTED

    return list(dict.fromkeys([*names, ADAPTED])), [ADAPTED]


def create_pipeline(**_: object) -> Pipeline:
    """Build the adaptation pipeline (`kedro run --pipelines=adaptation`).

    The shipped weights learn, then the imputation pipeline runs with them, then the evaluation.
    """
    choose = Node(
        choose_methods,
        inputs="params:imputation.methods",
        outputs=["adapting_methods", "learning_methods"],
        name="choose_methods",
    )
    return (
        stage("adaptation", [choose])
        + synthesis.create_pipeline(names="learning_methods")
        + imputation.create_pipeline(names="adapting_methods")
        + evaluation.create_pipeline()
    )
