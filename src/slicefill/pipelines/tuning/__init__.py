"""anisotropic cases → the λ and training parameters that impute held-out intervals best."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.tuning.nodes import (
    draw_tuning,
    search_parameters,
    write_tuning_report,
)


def create_pipeline(**_: object) -> Pipeline:
    """Build the tuning pipeline (`kedro run --pipelines=tuning`)."""
    return stage(
        "tuning",
        [
            Node(
                search_parameters,
                inputs=[
                    "acquired_cases",
                    "splits",
                    "tuning_journal",
                    "params:tuning",
                    "parameters",
                ],
                outputs=["tuning_trials", "best_lambdas"],
                name="search_parameters",
            ),
            Node(
                draw_tuning,
                inputs=["best_lambdas", "tuning_journal", "params:tuning"],
                outputs=["tuning_figures", "tuning_plots"],
                name="draw_tuning",
            ),
            Node(
                write_tuning_report,
                inputs=[
                    "tuning_trials",
                    "best_lambdas",
                    "tuning_figures",
                    "params:tuning",
                    "parameters",
                ],
                outputs="tuning_report",
                name="write_tuning_report",
            ),
        ],
    )
