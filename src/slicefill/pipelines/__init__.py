"""The pipelines, one package each, and how a stage of the study becomes one."""

from kedro.pipeline import Node, Pipeline


def stage(name: str, nodes: list[Node]) -> Pipeline:
    """Make a pipeline with its name as tag and namespace; data sets and parameters keep theirs."""
    return Pipeline(nodes, tags=name, namespace=name, prefix_datasets_with_namespace=False)
