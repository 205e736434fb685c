"""raw scans + synthesis models → imputed cases, verified against their source."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import anisotropization, ingestion, stage
from slicefill.pipelines.imputation.adapting import adapt_weights
from slicefill.pipelines.imputation.nodes import impute_cases, verify_imputed


def create_pipeline(**_: object) -> Pipeline:
    """Build the imputation pipeline (`kedro run --pipelines=imputation`).

    With what it needs of a folder of scans; `--namespaces=imputation` leaves that out.
    """
    return impute_by("params:imputation")


def impute_by(rule: str) -> Pipeline:
    """Build it so that it imputes by the parameters in the data set `rule`."""
    return (
        ingestion.create_pipeline()
        + anisotropization.create_pipeline()
        + stage("imputation", [_adapting(rule), *_imputing(rule)])
    )


def _adapting(rule: str) -> Node:
    return Node(
        adapt_weights,
        inputs=["acquired_cases", "splits", "synthesis_states", rule, "params:adaptation"],
        outputs="adapted_models",
        name="adapt_weights",
    )


def _imputing(rule: str) -> list[Node]:
    return [
        Node(
            impute_cases,
            inputs=[
                "acquired_cases",
                "splits",
                "synthesis_models",
                "super_resolution_models",
                "adapted_models",
                rule,
                "params:synthesis",
            ],
            outputs=["imputed_cases", "imputing_methods"],
            name="impute_cases",
        ),
        Node(
            verify_imputed,
            inputs=["imputed_cases", "acquired_cases", "imputing_methods", "params:executor"],
            outputs="verification",
            name="verify_imputed",
        ),
    ]
