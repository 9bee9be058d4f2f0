"""Warnings of this library, which point to the user's line."""

import sys
import warnings

# Packages whose frames may lie between the user's line and the call of `warn`.
_BETWEEN = ("skmetainv", "sklearn", "joblib", "torch", "contextlib")


class InnerStepsWarning(UserWarning):
    """There are more inner steps than learned step sizes."""


class AdaptationWarning(UserWarning):
    """The inner steps make results worse than the learned start."""


class WeightsWarning(UserWarning):
    """A file of weights can be read in several ways, or has tensors that are ignored."""


class SkippedFilesWarning(UserWarning):
    """Files of an image folder were left out."""


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning that points to the user's line.

    Parameters
    ----------
    message : str
        The text.
    category : type of Warning
        Class of the warning.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _package(frame.f_globals) in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]
