"""Which pipelines there are: one per package under `pipelines/`."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """Find the pipelines; without a name, `kedro run` does the whole study."""
    pipelines: dict[str, Pipeline] = find_pipelines(raise_errors=True)
    if "study" in pipelines:  # selective loading may have left it out
        pipelines["__default__"] = pipelines["study"]
    return pipelines
