"""Warnings of this library, and where warnings point."""

import sys
import warnings

# Between a user's line and ours there may be those of these.
_BETWEEN = ("skmetainv", "sklearn", "joblib", "torch", "contextlib")


class InnerStepsWarning(UserWarning):
    """More inner steps are asked for than step sizes were learned for."""


class WeightsWarning(UserWarning):
    """A file of weights leaves a choice, which was made: the message says how."""


class SkippedFilesWarning(UserWarning):
    """Files of a folder of pictures are left out."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line, outside of this library, that led here."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _package(frame.f_globals) in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]
