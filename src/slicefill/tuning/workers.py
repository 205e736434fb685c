"""Recovery of trials whose worker died: their process is gone, and they are started again."""

import logging
import socket
from datetime import datetime, timedelta

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

logger = logging.getLogger(__name__)
WORKER, FOLDS, FAILURE, START = "worker", "folds", "failure", "start"
"""Attributes of a trial: who runs it, scores by fold, the reason of a failure, a preset tried."""
_UNSIGNED = timedelta(minutes=1)  # a worker writes its name into a trial at once


def this_worker() -> str:
    """Name this process: host, process id and the second in which it started."""
    return _name(psutil.Process())


def retry_lost(study: optuna.Study, retries: int) -> None:
    """Fail trials in a journal whose process on this machine is gone, and enqueue them again.

    Databases have heartbeats, by which Optuna does the same whatever the machine.

    Args:
        study: All workers'.
        retries: How often a trial is started again.
    """
    retry = RetryHeartbeatStaleTrialCallback(max_retry=retries)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if not _is_gone(trial):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):
            continue  # another worker was faster
        logger.warning("trial %d: its worker died; it is tried again", trial.number)
        retry(study, study.trials[trial.number])


def _is_gone(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        started = trial.datetime_start or datetime.now()
        return datetime.now() - started > _UNSIGNED
    host, process, _ = worker.rsplit(":", 2)
    if host != socket.gethostname():
        return False  # unknown here
    try:
        return bool(_name(psutil.Process(int(process))) != worker)
    except psutil.NoSuchProcess:
        return True


def _name(process: psutil.Process) -> str:
    return f"{socket.gethostname()}:{process.pid}:{int(process.create_time())}"
