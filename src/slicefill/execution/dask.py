"""Work on the workers of Dask: started on this machine, or those of a scheduler elsewhere."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from slicefill.execution.outcome import Outcomes, attempt, pack
from slicefill.execution.workers import count_workers, threads_each
from slicefill.params import ExecutorParams

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")
_SENT = 1000  # items that a scheduler elsewhere holds at a time: it bounds its memory


def on_dask(
    work: Callable[[str, A], R], items: Mapping[str, A], executor: ExecutorParams
) -> Outcomes:
    """Dask itself starts again what a lost worker held: of this machine's, one item as a rule."""
    from distributed import as_completed

    waiting, names = iter(items), {}
    sent = _SENT if executor.scheduler else count_workers(len(items), executor)
    with _dask_client(executor, sent) as client:
        logger.info("Dask's dashboard: %s", client.dashboard_link)

        def send(name: str) -> Any:
            future = client.submit(pack(work, name, items[name]), pure=False)
            names[future.key] = name
            return future

        first = [send(name) for name in islice(waiting, sent)]
        futures: Any = as_completed(first)  # type: ignore[no-untyped-call]
        for future in futures:
            futures.update([send(name) for name in islice(waiting, 1)])
            yield names.pop(future.key), attempt(future.result)


@contextmanager
def _dask_client(executor: ExecutorParams, workers: int) -> Iterator["Client"]:
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.WARNING)  # else every worker is announced
    if executor.scheduler:
        try:
            client = Client(executor.scheduler)  # type: ignore[no-untyped-call]
        except OSError as error:
            msg = (
                f"executor.scheduler: no Dask scheduler answers at {executor.scheduler} ({error}); "
                "start one with `dask scheduler`, or set executor.scheduler=null"
            )
            raise ConnectionError(msg) from error
        with client:
            yield client
        return
    options = {
        "distributed.scheduler.allowed-failures": executor.attempts - 1,
        # Memory that goes back to the system after every tensor makes a network three times slower.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    }
    environment = dict(os.environ)  # Dask writes into it when it starts workers
    try:
        with (
            dask.config.set(options),
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,  # a case takes what it takes, as without Dask
                dashboard_address="127.0.0.1:0",
                env={"OMP_NUM_THREADS": str(threads_each(workers))},
            ) as cluster,
            Client(cluster) as client,  # type: ignore[no-untyped-call]
        ):
            yield client
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
