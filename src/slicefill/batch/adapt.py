"""The shipped weights learn from the scans of a plan before they impute them."""

from collections.abc import Callable
from functools import partial

from slicefill.batch.tasks import HIDDEN, Plan, Task
from slicefill.imputation.imputers import Imputer, learned_imputer, load_named
from slicefill.imputation.methods.pretrained import PRETRAINED
from slicefill.io.checkpoints import StateFile
from slicefill.params import ImputationParams
from slicefill.types import Case, Checkpoint, Promise

_HELD = 1.0  # GB of scans that are read once for checking, dividing and learning


def adapted_loader(
    plan: Plan,
    params: ImputationParams,
    minutes: float,
    say: Callable[[str], None],
    *,
    fill_missing: bool = False,
) -> Callable[[ImputationParams], Imputer]:
    """Adapt the shipped weights to the scans of a plan; return what prepares the adapted method.

    Weights that were adapted to the same scans are taken from the folder of outputs, and a call
    that was killed goes on where it was.

    Args:
        plan: The scans that will be imputed.
        params: Axis and device.
        minutes: Of training and validation.
        say: Called with what came of it.
        fill_missing: Whether a series that lacks slices is learned from, by the longest run of
            those that it has; else it is refused.

    Raises:
        ValueError: If there is too little to learn from.
    """
    from slicefill.imputation.methods.adapted.adaptation import adapt, adaptation_fingerprint
    from slicefill.imputation.methods.adapted.holding_out import Scans, draw_names
    from slicefill.imputation.methods.adapted.params import default_params
    from slicefill.imputation.methods.pretrained import load_pretrained
    from slicefill.training.cache import BoundedCache
    from slicefill.training.fit import Run, Stateless, ignore

    rule = default_params(params.through_plane, params.hardware).within(minutes)
    start = load_pretrained()
    read = BoundedCache(partial(_read, plan, fill_missing), _bytes_of, _HELD)
    drawn = draw_names(
        plan.tasks, rule.cases, rule.optimisation.seed, partial(_is_good, read.__getitem__)
    )
    if not drawn:  # why, is said of each when it is imputed
        say("adaptation: no scan can be read")
        return partial(load_named, PRETRAINED)
    cases = {name: _promise(name, plan.tasks[name], read.__getitem__) for name in drawn}
    scans = Scans(cases, {name: name for name in drawn})
    folder = None if plan.folder is None else plan.folder / HIDDEN
    kept = None if folder is None else StateFile(folder / "adapted.pt")
    own = adaptation_fingerprint(scans, start, rule)
    checkpoint = kept.load() if kept else None
    if checkpoint is None or checkpoint["fingerprint"] != own:
        store = Stateless() if folder is None else StateFile(folder / "adapting.pt")
        checkpoint = adapt(scans, start, rule, Run(store, ignore))
        if kept:
            kept.save(checkpoint)
    say(_told(checkpoint))
    return partial(learned_imputer, checkpoint["kind"], checkpoint)


def _promise(name: str, task: Task, read: Callable[[str], Case]) -> Promise:
    from slicefill.ingestion.companions import source_files
    from slicefill.ingestion.integrity import checksum

    return Promise(partial(read, name), checksum(source_files(task.raw.image)))


def _is_good(read: Callable[[str], Case], name: str) -> bool:
    """Whether a scan can be learned from; one that cannot is refused when it is imputed."""
    from slicefill.ingestion.checks import BadCase

    try:
        read(name)
    except BadCase:
        return False
    return True


def _read(plan: Plan, fill_missing: bool, name: str) -> Case:
    from slicefill.imputation.absent import longest_stack
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.params.ingestion import own_scans

    rule = own_scans("impute" if fill_missing else "refuse")
    return longest_stack(read_raw_case(plan.tasks[name].raw, rule))


def _bytes_of(case: Case) -> int:
    return sum(each.stored.nbytes for each in (case.image, case.label) if each is not None)


def _told(checkpoint: Checkpoint) -> str:
    found = checkpoint["adaptation"]
    whose = "shipped" if found["used"] == PRETRAINED else "adapted"
    gain = f", {found['gain_db']:+.2f} dB on held-out slices" if found["gain_db"] else ""
    return f"adaptation: the {whose} weights impute{gain}: {found['reason']}"
