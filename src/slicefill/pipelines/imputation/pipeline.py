"""raw scans + synthesis models → filled cases, verified against their source."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import anisotropization, ingestion, stage
from slicefill.pipelines.imputation.adapting import adapt_weights
from slicefill.pipelines.imputation.nodes import fill_cases, verify_filled


def create_pipeline(**_: object) -> Pipeline:
    """Build the imputation pipeline (`kedro run --pipelines=imputation`).

    With what it needs of a folder of scans; `--namespaces=imputation` leaves that out.
    """
    return fill_as("params:imputation")


def fill_as(rule: str) -> Pipeline:
    """Build it so that it fills by the parameters in the data set `rule`."""
    return (
        ingestion.create_pipeline()
        + anisotropization.create_pipeline()
        + stage("imputation", [_adapting(rule), *_filling(rule)])
    )


def _adapting(rule: str) -> Node:
    return Node(
        adapt_weights,
        inputs=["thick_cases", "splits", "synthesis_slots", rule, "params:adaptation"],
        outputs="adapted_models",
        name="adapt_weights",
    )


def _filling(rule: str) -> list[Node]:
    return [
        Node(
            fill_cases,
            inputs=[
                "thick_cases",
                "splits",
                "synthesis_models",
                "super_resolution_models",
                "adapted_models",
                rule,
                "params:synthesis",
            ],
            outputs=["filled_cases", "filled_methods"],
            name="fill_cases",
        ),
        Node(
            verify_filled,
            inputs=["filled_cases", "thick_cases", "filled_methods", "params:executor"],
            outputs="verification",
            name="verify_filled",
        ),
    ]
