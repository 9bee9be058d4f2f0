"""The library's warnings; each points to a line of the user's code."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Packages whose frames are skipped in the search for the user's line.
_BETWEEN = ("skmetainv", "sklearn", "joblib", "torch", "contextlib")


class InnerStepsWarning(UserWarning):
    """There are more inner steps than learned step sizes.

    Examples
    --------
    >>> import warnings
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.exceptions import InnerStepsWarning
    >>> from skmetainv.representations import PixelGrid
    >>> faces = load_faces()[:4]
    >>> est = MetaInverseSolver(init=PixelGrid(), n_inner=1, max_epochs=1).fit(faces)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", InnerStepsWarning)
    ...     restored = est.set_params(n_inner=5).predict(faces)
    """


class AdaptationWarning(UserWarning):
    """The results are worse than the learned start, or than the start that an estimator restores.

    It is also raised if ``inner_lr="auto"`` finds no step size.

    Examples
    --------
    >>> import warnings
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.exceptions import AdaptationWarning
    >>> from skmetainv.representations import PixelGrid
    >>> est = MetaInverseSolver(init=PixelGrid(), inner_lr=1e6, outer_lr=0.0, max_epochs=1)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", AdaptationWarning)
    ...     est = est.fit(load_faces()[:4])
    >>> any(issubclass(warning.category, AdaptationWarning) for warning in caught)
    True
    """


class WeightsWarning(UserWarning):
    """A file of weights can be read in several ways, or has tensors that are ignored.

    Examples
    --------
    >>> import tempfile, warnings
    >>> from pathlib import Path
    >>> import torch
    >>> from skmetainv.exceptions import WeightsWarning
    >>> from skmetainv.weight_files import read_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "network.pt")
    ...     torch.save({"network.weight": torch.ones(2), "other": torch.ones(3)}, path)
    ...     with warnings.catch_warnings():
    ...         warnings.simplefilter("ignore", WeightsWarning)
    ...         read_weights(path, "Network", ["weight"], understand=dict)
    {'weight': tensor([1., 1.])}
    """


class SkippedFilesWarning(UserWarning):
    """Files of an image folder were left out.

    Examples
    --------
    >>> import tempfile, warnings
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skmetainv.datasets import ImageFolder
    >>> from skmetainv.exceptions import SkippedFilesWarning
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (8, 8)).save(Path(folder, "picture.png"))
    ...     Path(folder, "damaged.png").touch()
    ...     with warnings.catch_warnings():
    ...         warnings.simplefilter("ignore", SkippedFilesWarning)
    ...         len(ImageFolder(folder, size=8, on_error="skip"))
    1
    """


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, and training goes on without it.

    Examples
    --------
    >>> import warnings
    >>> from skmetainv.exceptions import CheckpointWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", CheckpointWarning)  # end training instead
    """


class VersionWarning(UserWarning):
    """A file was written by another version of the library.

    Examples
    --------
    >>> import warnings
    >>> from skmetainv.exceptions import VersionWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", VersionWarning)  # load no such file
    """


@contextmanager
def concerning(subject: str) -> Iterator[None]:
    """Add a note to errors in a ``with`` block, which names what they concern.

    Parameters
    ----------
    subject : str
        The parameter or argument.

    Examples
    --------
    >>> from skmetainv.exceptions import concerning
    >>> try:
    ...     with concerning("the 'sigma' parameter"):
    ...         float("wide")
    ... except ValueError as error:
    ...     print(error.__notes__)
    ["This error concerns the 'sigma' parameter."]
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"This error concerns {subject}.")
        raise


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
