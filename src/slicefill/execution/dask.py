"""The executor that works on the workers of a Dask scheduler, on one machine or many."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from slicefill.execution.serial import Outcomes, attempt, pack
from slicefill.params import ExecutorParams

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")
_SENT = 1000  # items that the scheduler holds at a time: it bounds its memory


def on_dask(
    work: Callable[[str, A], R], items: Mapping[str, A], executor: ExecutorParams
) -> Outcomes:
    """Work on the items on a Dask cluster, which starts again what a lost worker held."""
    from distributed import as_completed

    waiting, names = iter(items), {}
    with _connect(executor) as client:
        logger.info("Dask's dashboard: %s", client.dashboard_link)

        def send(name: str) -> Any:
            future = client.submit(pack(work, name, items[name]), pure=False)
            names[future.key] = name
            return future

        first = [send(name) for name in islice(waiting, _SENT)]
        futures: Any = as_completed(first)  # type: ignore[no-untyped-call]
        for future in futures:
            futures.update([send(name) for name in islice(waiting, 1)])
            yield names.pop(future.key), attempt(future.result)


@contextmanager
def _connect(executor: ExecutorParams) -> Iterator["Client"]:
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.WARNING)  # else every worker is announced
    try:
        client = Client(executor.scheduler)  # type: ignore[no-untyped-call]
    except OSError as error:
        msg = (
            f"executor.scheduler: no Dask scheduler answers at {executor.scheduler} ({error}); "
            "start one with `dask scheduler`, or set executor.kind=processes"
        )
        raise ConnectionError(msg) from error
    with client:
        yield client
