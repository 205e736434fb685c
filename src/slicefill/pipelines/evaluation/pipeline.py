"""imputed cases + cases → scores per case, tables, statistics, figures, one HTML report."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.evaluation.nodes import (
    draw_figures,
    score_cases,
    score_confidence,
    summarise_scores,
    write_report,
)
from slicefill.reporting.gains import tabulate_adaptation


def create_pipeline(**_: object) -> Pipeline:
    """Build the evaluation pipeline (`kedro run --pipelines=evaluation`)."""
    return stage("evaluation", [*_scoring(), *_telling()])


def _scoring() -> list[Node]:
    return [
        Node(
            score_cases,
            inputs=["imputed_cases", "cases", "splits", "params:evaluation", "params:executor"],
            outputs=["scores", "unscored"],
            name="score_cases",
        ),
        Node(
            score_confidence,
            inputs=["imputed_cases", "cases", "splits", "params:evaluation", "params:executor"],
            outputs=["slice_confidence", "risk_coverage"],
            name="score_confidence",
        ),
        Node(
            tabulate_adaptation,
            inputs="imputed_cases",
            outputs="adaptation_gains",
            name="tabulate_adaptation",
        ),
        Node(
            summarise_scores,
            inputs=["scores", "params:evaluation"],
            outputs=[
                "evaluation_summary",
                "comparisons",
                "evaluation_table",
                "evaluation_markdown",
            ],
            name="summarise_scores",
        ),
    ]


def _telling() -> list[Node]:
    return [
        Node(
            draw_figures,
            inputs=[
                "imputed_cases",
                "cases",
                "scores",
                "risk_coverage",
                "models",
                "params:evaluation",
            ],
            outputs="figures",
            name="draw_figures",
        ),
        Node(
            write_report,
            inputs=[
                "evaluation_summary",
                "comparisons",
                "slice_confidence",
                "adaptation_gains",
                "ingestion_report",
                "figures",
                "parameters",
            ],
            outputs="report",
            name="write_report",
        ),
    ]
