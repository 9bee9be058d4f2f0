"""Warnings of this library, and where warnings point."""

import sys
import warnings

# Between a user's line and ours there may be those of these.
_BETWEEN = ("skmetainv", "sklearn", "joblib", "torch", "contextlib")


class InnerStepsWarning(UserWarning):
    """More inner steps are asked for than step sizes were learned for."""


class AdaptationWarning(UserWarning):
    """The inner steps make results worse than those of the learned start."""


class WeightsWarning(UserWarning):
    """A file of weights could be read in more than one way: the message says which was taken."""


class SkippedFilesWarning(UserWarning):
    """Files of a folder of pictures were left out."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn, pointing at the line outside of this library that led here.

    Parameters
    ----------
    message : str
        The text.
    category : type of Warning
        Its class.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _package(frame.f_globals) in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]
