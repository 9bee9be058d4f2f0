"""Metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from skmetainv.losses import LPIPS
from skmetainv.metrics import lpips, mse, psnr, ssim
from skmetainv.parameters import StrOptions, advice

#: A function of `skmetainv.metrics`, possibly with settings.
Metric: TypeAlias = Callable[..., Any]

METRICS: dict[str, Metric] = {"psnr": psnr, "ssim": ssim, "mse": mse, "lpips": lpips}

#: If lower is better, the score is the negative metric, and its name has the prefix "neg_".
SCORES: dict[str, Metric] = {"psnr": psnr, "ssim": ssim, "neg_mse": mse, "neg_lpips": lpips}


def _advice(names: Any, options: Mapping[str, Metric]) -> str:
    """Return a hint on the option that the first unknown name may stand for, if any."""
    aliases = {f"neg_{name}": name for name in options}
    aliases |= {name.removeprefix("neg_"): name for name in options}
    unknown = [n for n in names if n not in [*options]] if isinstance(names, list | tuple) else []
    return advice([StrOptions(options, aliases)], unknown[0]) if unknown else ""


def chosen_metrics(
    value: Any, loss: LPIPS | None, options: Mapping[str, Metric], parameter: str
) -> dict[str, Metric]:
    """Return the metrics that a user named, with the settings of `loss` for LPIPS."""
    names = [value] if isinstance(value, str) else value
    is_list = isinstance(names, list | tuple) and len(names) > 0
    if not is_list or any(n not in [*options] for n in names) or len(set(names)) < len(names):
        raise ValueError(
            f"The {parameter} must be a str among {[*options]}, or a list of some of them, each "
            f"once. Got {value!r} instead.{_advice(names, options)}"
        )
    if loss is not None and not isinstance(loss, LPIPS):
        raise ValueError(f"The 'lpips' parameter must be None or an LPIPS. Got {loss!r} instead.")
    perceptual = {name for name in names if options[name] is lpips}
    if loss is not None and not perceptual:
        raise ValueError(
            f"The 'lpips' parameter must be None unless LPIPS is among the metrics. Got {loss!r} "
            f"with {value!r} instead."
        )
    settings = {} if loss is None else loss.get_params(deep=False)
    return {n: partial(options[n], **settings) if n in perceptual else options[n] for n in names}
