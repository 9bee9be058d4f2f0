"""What `fit` tells at its end: what the learned start is worth, and what adaptation adds to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from skmetainv.arrays import channels_last
from skmetainv.exceptions import AdaptationWarning, warn
from skmetainv.meta import MetaLearner
from skmetainv.metrics import known_pixels, over_batches, psnr

# Decibels that are worth a word.
_WORTH = 0.05
# The outer loss still falls if its mean over the third quarter of training is by this share above
# that of the last.
_FALLING = 0.03

#: The PSNR of images: "stages" has one row per stage of Algorithm 1, "start" those of the starts
#: that an estimator restored.
Qualities = dict[str, np.ndarray]


def qualities(
    meta: MetaLearner,
    batches: Iterable[Sequence[torch.Tensor]],
    data_range: tuple[float, float],
) -> Qualities:
    """Return the PSNR of some images, one by one, of their starts and of all stages.

    Parameters
    ----------
    meta : MetaLearner
        What was learned.
    batches : iterable of sequence of tensor
        Clean images, their measurements, and perhaps the starts that an estimator restored.
    data_range : (float, float)
        The least and the largest value that images nominally have.

    Returns
    -------
    qualities : dict of str to ndarray
        "start", if there are such, of shape (n,), and "stages" of shape (n_inner + 1, n).
    """
    found: list[list[np.ndarray]] = []
    for x, y, *start in batches:
        clean, images = channels_last(x), [*start, *meta.stages(y, len(y), *start)]
        pairs = ([(clean, channels_last(z))] for z in images)
        with np.errstate(over="ignore", invalid="ignore"):  # where the inner steps diverge
            found.append([_psnr(pair, data_range) for pair in pairs])
    values = np.array([np.concatenate(parts) for parts in zip(*found, strict=True)])
    if len(values) == meta.inner.m + 1:
        return {"stages": values}
    return {"start": values[0], "stages": values[1:]}


def _psnr(pairs: Any, data_range: tuple[float, float]) -> np.ndarray:
    return over_batches({"psnr": psnr}, known_pixels(pairs), data_range)["psnr"]


def summary(found: Qualities, history: Mapping[str, Sequence[Any]], which: str) -> str:
    """Return what is told of a training, in one line.

    Parameters
    ----------
    found : dict of str to ndarray
        See `qualities`.
    history : mapping of str to sequence
        That of the estimator.
    which : str
        Which images `found` is of.
    """
    m = len(found["stages"]) - 1
    means = {"start alone": found["start"].mean()} if "start" in found else {}
    means |= {"learned start": found["stages"][0].mean()}
    means |= {f"after {m} inner step(s)": found["stages"][-1].mean()} if m else {}
    told = ", ".join(f"{name} {value:.2f} dB" for name, value in means.items())
    return f"PSNR of {found['stages'].shape[1]} {which}: {told}.{_advice(found, history)}"


def _advice(found: Qualities, history: Mapping[str, Sequence[Any]]) -> str:
    """Return the one parameter that is most worth changing, if there is one."""
    losses, stages = np.array(history["outer_loss"]), found["stages"].mean(axis=1)
    quarter = len(losses) // 4
    if quarter:
        third, last = losses[-2 * quarter : -quarter].mean(), losses[-quarter:].mean()
        if third > (1 + _FALLING) * last:
            return f" The outer loss was still falling: raise max_epochs, here {len(losses)}."
    if len(stages) == 1:
        return ""
    if stages[-1] - stages[-2] > _WORTH:
        return " The last inner step still helped: raise n_inner."
    if abs(stages[-1] - stages[0]) < _WORTH:
        return (
            " The inner steps change little: the start leaves them little misfit. A smaller "
            "n_inner restores faster; InnerLoss(of='start') may leave them more."
        )
    return ""


def warn_of_adaptation(found: Qualities, which: str) -> None:
    """Warn if inner steps make results worse, by more than chance explains."""
    stages = found["stages"]
    if len(stages) == 1:
        return
    known = np.isfinite(stages[[0, -1]]).all(axis=0)  # an exact restoration has no finite PSNR
    gained = stages[-1, known] - stages[0, known]
    error = gained.std(ddof=1) / np.sqrt(len(gained)) if len(gained) > 1 else np.inf
    if len(gained) and gained.mean() < -max(_WORTH, 2 * error):
        warn(
            f"Adaptation lowers the PSNR of {len(gained)} {which} by {-gained.mean():.2f} dB. "
            f"A smaller n_inner than {len(stages) - 1}, a smaller inner_lr or a longer training "
            "may help.",
            AdaptationWarning,
        )
