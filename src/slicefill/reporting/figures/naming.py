"""What a metric is called on an axis or in a table heading, and its unit."""

_NAMES = {  # longest prefix first, so that ravd_abs is not read as a ravd
    "volume_bias_abs": ("|volume bias|", "fraction"),
    "volume_bias": ("volume bias", "fraction"),
    "gradient_ratio": ("gradient ratio", "ideal 1"),
    "alternation": ("alternation", "ideal 1"),
    "psnr": ("PSNR", "dB"),
    "ssim": ("SSIM", ""),
    "mae": ("mean absolute error", "intensity"),
    "bias": ("bias", "intensity"),
    "dice": ("Dice", ""),
    "ravd_abs": ("|RAVD|", "fraction"),
    "ravd": ("RAVD", "fraction"),
    "nsd": ("NSD", ""),
    "assd": ("ASSD", "mm"),
    "mssd": ("MSSD", "mm"),
    "hd95": ("HD95", "mm"),
    "confidence_rank": ("confidence rank correlation", ""),
    "confidence_bias": ("confidence bias", "share of window"),
    "aurc": ("area under risk-coverage", "share of window"),
    "ml_truth": ("true volume", "ml"),
    "ml": ("volume", "ml"),
}


def metric_label(metric: str) -> str:
    """Spell a column of the score table out, with its unit in brackets.

    Args:
        metric: Column name, `<metric>` or `<metric>_<where or which label>`. A metric that is
            not known is shown as it is.

    Example:
        >>> metric_label("psnr_body")
        'PSNR, body (dB)'
        >>> metric_label("dice_anterior")
        'Dice, anterior'
    """
    for prefix, (name, unit) in _NAMES.items():
        if metric == prefix or metric.startswith(f"{prefix}_"):
            which = metric[len(prefix) + 1 :].replace("_", " ")
            return (f"{name}, {which}" if which else name) + (f" ({unit})" if unit else "")
    return metric.replace("_", " ")
