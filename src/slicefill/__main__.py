"""`python -m slicefill` runs the Kedro project from a packaged installation."""

import sys
from pathlib import Path


def main() -> None:
    """Run `kedro run` of this package."""
    try:
        from kedro.framework.cli.utils import find_run_command
        from kedro.framework.project import configure_project
    except ModuleNotFoundError as error:
        sys.exit(
            f"python -m slicefill runs the pipelines: expected Kedro, found no {error.name}; "
            "pip install 'slicefill[pipelines]'. Without it, slicefill --help says what there is"
        )
    package = Path(__file__).parent.name
    configure_project(package)
    find_run_command(package)()


if __name__ == "__main__":
    main()
