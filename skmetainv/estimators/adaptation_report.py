"""The report at the end of `fit`: the PSNR of the learned start and the gain by adaptation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from skmetainv.arrays import channels_last
from skmetainv.exceptions import AdaptationWarning, warn
from skmetainv.meta import MetaLearner
from skmetainv.metrics import known_pixels, over_batches, psnr
from skmetainv.noise import Noise, as_noise
from skmetainv.reconstruction.chunks import batches_of
from skmetainv.reconstruction.restorer import Restore
from skmetainv.reconstruction.trained import VALIDATION_SEED
from skmetainv.reconstruction.training_run import TrainingRun
from skmetainv.training import Batch

# The least difference in decibels that counts as a change.
_WORTH = 0.05
# The outer loss is still falling if its mean over the third quarter of training is larger than its
# mean over the last quarter, by more than this share of it.
_FALLING = 0.03

#: The PSNR of images. "stages" has one row per stage of Algorithm 1, and one column per image. If
#: an estimator restores the starts, "start" has their PSNR, one value per image.
Qualities = dict[str, np.ndarray]


def reported_batches(
    meta: MetaLearner, run: TrainingRun, n_images: int, noise: float | Noise
) -> Iterator[Batch]:
    """Yield batches of held-out images, if there are any, or else of training images as they are.

    A batch has the images, their measurements and, if an estimator restores starts, their starts.

    Parameters
    ----------
    meta : MetaLearner
        The fitted meta-learner.
    run : TrainingRun
        The finished training run.
    n_images : int
        The largest number of images.
    noise : float or Noise
        The noise of simulated measurements of held-out images.
    """
    batches, held_out = run.batches, run.held_out
    if held_out is None:
        for indices in batches_of(min(n_images, batches.n_images), meta.batch_size):
            yield batches.read(indices, None)
        return
    noise_function = as_noise(noise).build()
    for indices in batches_of(min(n_images, len(held_out)), meta.batch_size):
        batch = held_out.batch(indices, noise_function, VALIDATION_SEED)
        yield batch if meta.restore_start is None else _with_starts(batch, meta.restore_start)


def _with_starts(batch: Batch, restore: Restore) -> Batch:
    """Return a batch with restored starts."""
    return batch._replace(start=batch.A.by_instrument(restore, batch.y))


def qualities(
    meta: MetaLearner,
    batches: Iterable[Batch],
    data_range: tuple[float, float],
) -> Qualities:
    """Return the PSNR of each image after each stage, and of its start if that was restored.

    Parameters
    ----------
    meta : MetaLearner
        The fitted meta-learner.
    batches : iterable of Batch
        The images, in batches.
    data_range : (float, float)
        The least and the largest value that images nominally have.

    Returns
    -------
    qualities : dict of str to ndarray
        "stages", of shape (n_inner + 1, n); also "start", of shape (n,), if starts are restored.
    """
    psnrs = []
    for batch in batches:
        start = [] if batch.start is None else [batch.start]
        restored = [start_i[:, 0] for start_i in start]
        stages = batch.A.by_instrument(_stages_of(meta), batch.y, *start)
        with np.errstate(over="ignore", invalid="ignore"):  # the inner steps may diverge
            psnrs.append([_psnr(batch.x, z, data_range) for z in (*restored, *stages.unbind(1))])
    values = np.concatenate(psnrs, axis=1)
    if len(values) == meta.inner.m + 1:
        return {"stages": values}
    return {"start": values[0], "stages": values[1:]}


def _stages_of(meta: MetaLearner) -> Callable[..., torch.Tensor]:
    """Return the function that has the stages of measurements, with starts if they are known."""

    def stages(y: torch.Tensor, *start_and_map: Any) -> torch.Tensor:
        *start, A = start_and_map
        return meta.stages(y, A, *start)

    return stages


def _psnr(x: torch.Tensor, z: torch.Tensor, data_range: tuple[float, float]) -> np.ndarray:
    """Return the PSNR of each restored image `z` over the known pixels of the clean image `x`."""
    pairs = known_pixels([(channels_last(x), channels_last(z))])
    return over_batches({"psnr": psnr}, pairs, data_range)["psnr"]


def summary(psnrs: Qualities, history: Mapping[str, Sequence[Any]], which: str) -> str:
    """Return a one-line summary of a training run.

    Parameters
    ----------
    psnrs : dict of str to ndarray
        See `qualities`.
    history : mapping of str to sequence
        The estimator's `history_`.
    which : str
        How the summary names the images: "held-out images" or "training images".
    """
    n_images, stages = psnrs["stages"].shape[1], psnrs["stages"].mean(axis=1)
    m = len(stages) - 1
    means = {"start alone": psnrs["start"].mean()} if "start" in psnrs else {}
    means |= {"learned start": stages[0]}
    means |= {f"after {m} inner step(s)": stages[-1]} if m else {}
    values = ", ".join(f"{name} {value:.2f} dB" for name, value in means.items())
    advice = [_advice(stages, history), _about_flat(stages)]
    return " ".join([f"PSNR of {n_images} {which}: {values}.", *filter(None, advice)])


def _advice(stages: np.ndarray, history: Mapping[str, Sequence[Any]]) -> str:
    """Return a sentence on the parameter most worth raising, or an empty string."""
    losses = np.array(history["outer_loss"])
    if quarter := len(losses) // 4:
        third, last = losses[-2 * quarter : -quarter].mean(), losses[-quarter:].mean()
        if third - last > _FALLING * abs(last):
            return f"The outer loss was still falling: raise max_epochs, here {len(losses)}."
    if len(stages) > 1 and stages[-1] - stages[-2] > _WORTH:
        return "The last inner step still helped: raise n_inner."
    return ""


def _about_flat(stages: np.ndarray) -> str:
    """Return a sentence if all stages are of the same quality, or an empty string."""
    if len(stages) == 1 or np.ptp(stages) >= _WORTH:
        return ""
    return (
        "The inner steps change little, because the start already fits the measurements. A smaller "
        "n_inner restores faster."
    )


def warn_of_adaptation(psnrs: Qualities, which: str) -> None:
    """Warn if the results are significantly worse than the learned start, or than the start alone.

    The second comparison needs an estimator that restores starts.
    """
    stages = psnrs["stages"]
    n_images, m = stages.shape[1], len(stages) - 1
    if (lost := _loss(stages[0], stages[-1])) > 0:
        warn(
            f"Adaptation lowers the PSNR of {n_images} {which} by {lost:.2f} dB. "
            f"A smaller n_inner than {m}, a smaller inner_lr or a longer training may help.",
            AdaptationWarning,
        )
    elif "start" in psnrs and (lost := _loss(psnrs["start"], stages[-1])) > 0:
        warn(
            f"The results of {n_images} {which} have {lost:.2f} dB less PSNR than the images to "
            "which the network adds, those of the `residual` of `init`. A larger max_epochs, a "
            "smaller outer_lr or less augmentation may help.",
            AdaptationWarning,
        )


def _loss(before: np.ndarray, after: np.ndarray) -> float:
    """Return by how much the mean PSNR falls, or 0 if that may be chance.

    Exact restorations, of infinite PSNR, are left out. An image that is not finite has lost it all.
    """
    chosen = np.isfinite(before) & (after != np.inf)
    lost = before[chosen] - np.where(np.isfinite(after[chosen]), after[chosen], -np.inf)
    if not np.isfinite(lost).all():
        return np.inf
    if len(lost) < 2:
        return 0.0
    mean, error = float(lost.mean()), float(lost.std(ddof=1) / np.sqrt(len(lost)))
    return mean if mean > max(_WORTH, 2 * error) else 0.0
