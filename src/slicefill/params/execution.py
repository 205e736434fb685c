"""Parameters of the executor: where cases are worked on."""

from typing import Literal

from pydantic import Field

from slicefill.params.base import Count, Params


class ExecutorParams(Params):
    """Where cases are worked on, and by how many at a time. It changes no result."""

    kind: Literal["serial", "processes", "dask"] = Field(description="what runs the cases")
    workers: Count | None = Field(description="processes on this machine; null: one per core")
    scheduler: str | None = Field(
        description="dask: address of a scheduler, tcp://host:8786; null: workers on this machine"
    )
    attempts: Count = Field(
        description="how often a case is started when its worker is lost; a scheduler at an "
        "address has a setting of its own, distributed.scheduler.allowed-failures"
    )


SERIAL = ExecutorParams(kind="serial", workers=None, scheduler=None, attempts=1)
"""In turn, in this process."""
