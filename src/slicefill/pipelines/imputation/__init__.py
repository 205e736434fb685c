"""raw scans + models → imputed cases, verified against their source."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import anisotropization, ingestion, stage
from slicefill.pipelines.imputation.nodes import impute_cases, verify_imputed
from slicefill.pipelines.imputation.sorting import sort_cases


def create_pipeline(*, names: str = "params:imputation.methods", **_: object) -> Pipeline:
    """Build the imputation pipeline (`kedro run --pipelines=imputation`).

    With what it needs of a folder of scans; `--namespaces=imputation` leaves that out.

    Args:
        names: The dataset with the names of the methods.
    """
    imputation = [_sort(), _impute(names), _verify()]
    return (
        ingestion.create_pipeline()
        + anisotropization.create_pipeline()
        + stage("imputation", imputation)
    )


def _sort() -> Node:
    return Node(
        sort_cases,
        inputs=["acquired_cases", "splits", "params:imputation"],
        outputs=["dense_cases", "refused_cases"],
        name="sort_cases",
    )


def _impute(names: str) -> Node:
    return Node(
        impute_cases,
        inputs=[
            "acquired_cases",
            "splits",
            "models",
            names,
            "params:imputation",
            "parameters",
            "dense_cases",
            "refused_cases",
        ],
        outputs=["imputed_cases", "imputing_methods"],
        name="impute_cases",
    )


def _verify() -> Node:
    return Node(
        verify_imputed,
        inputs=["imputed_cases", "acquired_cases", "imputing_methods", "params:executor"],
        outputs="verification",
        name="verify_imputed",
    )
