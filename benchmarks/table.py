"""The result of the imputation benchmark as Markdown."""

from apart import Numbers
from imputing import Setting
from tabulate import tabulate


def render(
    setting: Setting, results: dict[str, Numbers], peaks: Numbers, pairs: dict[int, float]
) -> str:
    """Tabulate the measurements of both ways, and below them those of the batch sizes."""
    ours, plain = results["slicefill"], results["plain"]
    names = {"slicefill": f"slicefill, {ours['precision']}", "plain": "one pair at a time, fp32"}
    rows = [[name, *cells] for name, cells in _rows(ours, plain, peaks)]
    shape = " x ".join(map(str, setting.size))
    return "\n\n".join(
        [
            f"{shape} voxels imputed x{setting.factor}, network of width {setting.width} and depth "
            f"{setting.depth}, {setting.threads} threads; convolution peak of this machine: "
            f"{peaks['bf16'] / 1e9:.0f} GFLOP/s in bf16, {peaks['fp32'] / 1e9:.0f} in fp32.",
            tabulate(rows, ["", *names.values()], "pipe", disable_numparse=True),
            f"**{plain['seconds'] / ours['seconds']:.1f} times as fast.**",
            tabulate(
                [["ms per pair", *(f"{1000 * seconds:.0f}" for seconds in pairs.values())]],
                ["pairs in a batch", *map(str, pairs)],
                "pipe",
            ),
        ]
    )


def _rows(ours: Numbers, plain: Numbers, peaks: Numbers) -> list[tuple[str, list[str]]]:
    both = (ours, plain)
    peak = (peaks[ours["precision"]], peaks["fp32"])
    parts = ("read", "network", "rest", "write")
    return [
        ("seconds, file to file", [f"{run['seconds']:.2f}" for run in both]),
        *((f"- {part}", [f"{run[part]:.2f}" for run in both]) for part in parts),
        ("CPU seconds, all threads", [f"{run['cpu_seconds']:.2f}" for run in both]),
        ("synthetic slices per second", [f"{run['slices_per_second']:.1f}" for run in both]),
        ("peak memory, MiB", [f"{run['peak_memory'] / 2**20:.0f}" for run in both]),
        ("network, GFLOP", [f"{run['flop'] / 1e9:.0f}" for run in both]),
        ("network, GFLOP/s", [f"{run['flop_per_second'] / 1e9:.0f}" for run in both]),
        (
            "share of convolution peak",
            [f"{run['flop_per_second'] / top:.0%}" for run, top in zip(both, peak, strict=True)],
        ),
    ]
