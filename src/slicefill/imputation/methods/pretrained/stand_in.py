"""Where the shipped weights stand in for a model that was not trained yet."""

from collections.abc import Collection, Sequence

from slicefill.imputation.methods.pretrained import PRETRAINED


def stand_in(
    methods: Sequence[str],
    trained: Collection[str],
    variants: Collection[str],
    substitute: str = PRETRAINED,
) -> list[str]:
    """Put the shipped weights, once, in the place of the variants that are not trained.

    Args:
        methods: As in `imputation.methods`.
        trained: Models that this experiment has.
        variants: Models that it could train; any other name stays as it is.
        substitute: The shipped weights as they are, or adapted.

    Returns:
        The methods to impute with, each once, in their order.

    Example:
        >>> stand_in(["linear", "iia", "si_refined"], trained=[], variants=["iia", "si_refined"])
        ['linear', 'pretrained']
        >>> stand_in(["linear", "iia"], trained=["iia"], variants=["iia", "si_refined"])
        ['linear', 'iia']
    """
    untrained = set(variants) - set(trained) - {PRETRAINED}
    return list(dict.fromkeys(substitute if name in untrained else name for name in methods))
