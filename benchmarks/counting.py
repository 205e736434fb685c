"""Number of requests to an object store for one imputed volume."""

import logging
from uuid import uuid4

from moto.server import ThreadedMotoServer
from upath import UPath

from slicefill.io.case_folder import read_case, read_record, write_case
from slicefill.types import Case


class _Counter(logging.Handler):
    """Counts the log lines of a server, one per request."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def count_requests(source: Case, imputed: Case) -> int:
    """Read a case, check whether it is imputed already, and write the imputed case, as a run does.

    The store is an S3 server on this machine; nothing leaves the machine.
    """
    log, counter = logging.getLogger("werkzeug"), _Counter()
    log.addHandler(counter)
    log.setLevel(logging.INFO)
    log.propagate = False
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    bucket = UPath(
        f"s3://{uuid4()}",  # the server keeps the content of earlier ones
        endpoint_url=f"http://{host}:{port}",
        key="nobody",
        secret="nothing",
        use_listings_cache=False,
    )
    try:
        bucket.mkdir()
        write_case(source, bucket / "acquired" / "a")
        counter.count = 0
        read_case(bucket / "acquired" / "a")
        read_record(bucket / "imputed" / "a")
        write_case(imputed, bucket / "imputed" / "a")
        return counter.count
    finally:
        server.stop()
        log.removeHandler(counter)
