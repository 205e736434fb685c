"""Scans to adapt to, divided into training and held-out parts: by subject, or by slices."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from slicefill.fingerprint import fingerprint
from slicefill.geometry import AxisName, slices_back, slices_first, through_plane_axis
from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.types import Case, Promise, Volume

_FEWEST_HELD = 3  # slices: two given, one to predict
_FEWEST_LEARNED = 2  # slices before and after: one interval each


@dataclass(frozen=True)
class Scans:
    """Scans to adapt to.

    Attributes:
        cases: Anisotropic cases by id.
        subjects: Subject by case id.
    """

    cases: Mapping[str, Promise]
    subjects: Mapping[str, str]

    def draw(self, most: int, seed: int) -> "Scans":
        """Draw at most `most` of the cases by the seed."""
        drawn = draw_names(self.cases, most, seed)
        return replace(self, cases={case: self.cases[case] for case in drawn})


def draw_names(
    names: Iterable[str], most: int, seed: int, is_good: Callable[[str], bool] | None = None
) -> list[str]:
    """Draw at most `most` names by the seed, sorted; one that is not good makes room for another.

    Example:
        >>> draw_names(["c", "a", "b"], 2, 0), draw_names(["c", "a", "b"], 2, 0, lambda n: n != "c")
        (['a', 'c'], ['a', 'b'])
    """
    order: list[str] = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    return sorted(islice(filter(is_good, order) if is_good else order, most))


@dataclass(frozen=True)
class Divided:
    """Scans, or parts of them, each in one of two sets.

    Attributes:
        training: For learning.
        held_out: For the acceptance test.
        by: What was divided, `subjects` or `slices`.
    """

    training: Mapping[str, Promise]
    held_out: Mapping[str, Promise]
    by: str


def divide(scans: Scans, channels: int, params: AdaptationParams) -> Divided:
    """Hold out some subjects where there are enough, otherwise some slices of every scan.

    Returns:
        Of one subject whose scans are all too short, nothing is held out.
    """
    guides = {
        case: Promise(partial(_guide, promise, channels), promise.fingerprint)
        for case, promise in scans.cases.items()
    }
    subjects = {scans.subjects[case] for case in guides}
    if len(subjects) < params.subjects:
        divided = hold_out_slices(guides, params.held_out, params.through_plane)
        if divided.held_out or len(subjects) < 2:
            return divided
    seed = params.optimisation.seed
    return hold_out_subjects(guides, scans.subjects, params.held_out, seed)


def hold_out_subjects(
    cases: Mapping[str, Promise], subjects: Mapping[str, str], fraction: float, seed: int
) -> Divided:
    """Hold out the scans of a fraction of the subjects, one subject at least.

    Args:
        cases: Scans of two subjects or more.
        subjects: Subject by case id.
        fraction: In (0, 1).
        seed: Of the choice.
    """
    names = sorted({subjects[case] for case in cases})
    count = min(max(1, round(fraction * len(names))), len(names) - 1)
    chosen = set(np.random.default_rng(seed).permutation(names)[:count].tolist())
    parts: tuple[dict[str, Promise], dict[str, Promise]] = {}, {}
    for case, promise in cases.items():
        parts[subjects[case] in chosen][case] = promise
    return Divided(*parts, "subjects")


def hold_out_slices(cases: Mapping[str, Promise], fraction: float, axis: AxisName) -> Divided:
    """Hold out the middle slices of every scan that has enough; the others are for learning.

    Each part is a scan of its own, with a window and views of its own: no row, no column and no
    slice of a held-out block is in any training group.

    Args:
        cases: Scans; each is read once here for its size.
        fraction: Of the slices of a scan, in (0, 1).
        axis: Their slice axis.

    Returns:
        Parts named `case[first:last+1]`; scans with too few slices are for learning, whole.
    """
    training: dict[str, Promise] = {}
    held_out: dict[str, Promise] = {}
    for case, promise in cases.items():
        image = promise.make().image
        depth = image.stored.shape[through_plane_axis(image.affine, axis)]
        block = held_out_block(depth, fraction)
        if block is None:
            training[case] = promise
            continue
        before, after = slice(0, block.start), slice(block.stop, depth)
        for part, parts in ((before, training), (after, training), (block, held_out)):
            name = f"{case}[{part.start}:{part.stop}]"
            make = partial(_make_part, promise, part, axis)
            parts[name] = Promise(make, fingerprint(promise.fingerprint, part.start, part.stop))
    return Divided(training, held_out, "slices")


def held_out_block(depth: int, fraction: float) -> slice | None:
    """Choose the middle slices of a scan, three at least; None if too few would be left.

    Example:
        >>> held_out_block(20, 0.2), held_out_block(7, 0.2), held_out_block(6, 0.2)
        (slice(8, 12, None), slice(2, 5, None), None)
    """
    count = max(_FEWEST_HELD, round(fraction * depth))
    start = (depth - count) // 2
    return slice(start, start + count) if start >= _FEWEST_LEARNED else None


def cut_slices(case: Case, part: slice, axis: AxisName) -> Case:
    """Cut some slices out of a case; their position in the world stays."""
    across = through_plane_axis(case.image.affine, axis)
    shift = np.eye(4)
    shift[across, 3] = part.start

    def cut(volume: Volume) -> Volume:
        chosen = slices_first(volume.stored, across)[part]
        return volume.with_stored(slices_back(chosen, across), shift)

    return Case(cut(case.image), None if case.label is None else cut(case.label))


def _make_part(promise: Promise, part: slice, axis: AxisName) -> Case:
    return cut_slices(promise.make(), part, axis)


def _guide(promise: Promise, channels: int) -> Case:
    """Make a case with only the channels that guide the motion."""
    case = promise.make()
    stored = case.image.stored
    if stored.ndim == 3:
        return case
    return replace(case, image=case.image.with_stored(stored[..., :channels]))
