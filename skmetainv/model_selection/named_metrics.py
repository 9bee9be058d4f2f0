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


def _advice(given: Any, known: Mapping[str, Metric]) -> str:
    """Return a hint on the known name that is closest to the first unknown name, if any."""
    twins = {name.removeprefix("neg_"): name for name in known}
    words = StrOptions(known, {f"neg_{name}": name for name in known} | twins)
    unknown = [n for n in given if n not in [*known]] if isinstance(given, list | tuple) else []
    return advice([words], unknown[0]) if unknown else ""


def chosen_metrics(
    names: Any, loss: LPIPS | None, known: Mapping[str, Metric], parameter: str
) -> dict[str, Metric]:
    """Return the metrics that a user named, with the settings of `loss` for LPIPS."""
    given = [names] if isinstance(names, str) else names
    listed = isinstance(given, list | tuple) and len(given) > 0
    if not listed or any(n not in [*known] for n in given) or len(set(given)) < len(given):
        raise ValueError(
            f"The {parameter} must be a str among {[*known]}, or a list of some of them, each "
            f"once. Got {names!r} instead.{_advice(given, known)}"
        )
    if loss is not None and not isinstance(loss, LPIPS):
        raise ValueError(f"The 'lpips' parameter must be None or an LPIPS. Got {loss!r} instead.")
    perceptual = {name for name in given if known[name] is lpips}
    if loss is not None and not perceptual:
        raise ValueError(
            f"The 'lpips' parameter must be None unless LPIPS is among the metrics. Got {loss!r} "
            f"with {names!r} instead."
        )
    settings = {} if loss is None else loss.get_params(deep=False)
    return {n: partial(known[n], **settings) if n in perceptual else known[n] for n in given}
