"""Saving, loading and describing estimators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any

from sklearn.base import BaseEstimator

import skmetainv
from skmetainv.denoisers import Denoiser
from skmetainv.exceptions import VersionWarning, warn
from skmetainv.io.classes import name_of
from skmetainv.io.nodes import HeaderReader, Reader, Writer
from skmetainv.reconstruction import Reconstructor
from skmetainv.storage import DamagedFileError, read, read_header, write

# Errors that a forged record can raise.
_NOT_UNDERSTOOD = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
)


@dataclass(frozen=True)
class ModelDescription:
    """What `describe` finds in the header of a file; its text has one line per entry.

    Attributes
    ----------
    estimator : str
        The estimator with the parameters that are not at their defaults.
    version : str
        The version of skmetainv that wrote the file.
    components : dict of str to str
        The types of the parts to give to `load`, by name.
    is_fitted : bool
        Whether the estimator is fitted. If not, the following entries are None or empty.
    image_shape, measurement_shape : tuple of int or None
        Shapes of images and measurements.
    data_range : (float, float) or None
        The smallest and the largest nominal value of images.
    n_weights : int or None
        Number of learned weights.
    history : dict of str to list
        The figures of each epoch, such as losses and ``validation_psnr``.
    """

    estimator: str
    version: str
    components: Mapping[str, str]
    is_fitted: bool
    image_shape: tuple[int, ...] | None
    measurement_shape: tuple[int, ...] | None
    data_range: tuple[float, float] | None
    n_weights: int | None
    history: Mapping[str, list[Any]]

    def __str__(self) -> str:
        lines = [self.estimator, f"written by skmetainv {self.version}"]
        lines += [f"needs {name}, {text}" for name, text in self.components.items()]
        if not self.is_fitted:
            return "\n".join([*lines, "not fitted"])
        lines += [
            f"images of shape {self.image_shape}, values in {self.data_range}",
            f"measurements of shape {self.measurement_shape}",
            f"{self.n_weights} learned weights",
        ]
        n_epochs = len(self.history.get("seconds", []))
        if n_epochs:
            last = ", ".join(f"{key} {values[-1]}" for key, values in self.history.items())
            lines.append(f"{n_epochs} epochs; in the last: {last}")
        return "\n".join(lines)


def save(
    estimator: BaseEstimator, path: str | PathLike[str], *, components: Iterable[str] = ()
) -> None:
    """Write an estimator to a file that can be shared: loading it runs no code from the file.

    Parameters
    ----------
    estimator : estimator or Denoiser
        An estimator or a denoiser of this library, fitted or not. For a search, pass its
        ``best_estimator_``.
    path : path-like
        The file, for instance "model.skmi". An existing file is replaced atomically.
    components : iterable of str, default=()
        Names of parts to leave out, as in `set_params`: for instance "operator__function". A file
        cannot hold functions, modules, or objects of other packages or of your own classes. Pass
        these to `load`.

    Raises
    ------
    OSError
        If the file cannot be written.
    TypeError
        If `estimator` is not an estimator of this library, or if `components` is a string.
    ValueError
        If the estimator has a part that a file cannot hold, or no part with a name in `components`;
        the error names it.

    Notes
    -----
    The file is in safetensors format. Its header holds the parameters, as JSON, and SHA-256
    checksums. `checkpoint` and `device` are saved at their defaults, because they concern the
    machine of training. scikit-learn's callbacks and metadata requests are not saved.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skmetainv import LinearReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.io import load, save
    >>> from skmetainv.operators import GaussianBlur
    >>> faces = load_faces()
    >>> est = LinearReconstructor(GaussianBlur(sigma=1.0), noise=0.01).fit(faces[:80])
    >>> measured = est.simulate(faces[80:], random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(est, Path(folder, "faces.skmi"))
    ...     loaded = load(Path(folder, "faces.skmi"))
    >>> np.array_equal(loaded.predict(measured), est.predict(measured))
    True

    A part that the file cannot hold:

    >>> import torch
    >>> from skmetainv import ClassicalReconstructor
    >>> from skmetainv.operators import FunctionOperator
    >>> from skmetainv.solvers import GradientDescent
    >>> tanh = FunctionOperator(torch.tanh)
    >>> est = ClassicalReconstructor(tanh, GradientDescent(), start="zeros").fit(faces)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(est, Path(folder, "tanh.skmi"), components=["operator__function"])
    ...     loaded = load(Path(folder, "tanh.skmi"), components={"operator__function": torch.tanh})
    >>> np.array_equal(loaded.predict(faces[:2]), est.predict(faces[:2]))
    True
    """
    if not isinstance(estimator, Reconstructor | Denoiser) or name_of(type(estimator)) is None:
        raise TypeError(f"save takes an estimator of skmetainv. {_instead_of(estimator)}")
    if isinstance(components, str):
        raise TypeError(f"components must be a list of names: write components=[{components!r}].")
    writer = Writer(components)
    model = writer.node(estimator)
    unknown = sorted(writer.components - writer.left_out.keys())
    if unknown:
        raise ValueError(f"The estimator has no part {', '.join(unknown)} to leave out.")
    record = {
        "kind": "estimator",
        "format": 1,
        "version": skmetainv.__version__,
        "components": writer.left_out,
        "model": model,
    }
    write(path, writer.arrays, record)


def load(
    path: str | PathLike[str], *, components: Mapping[str, Any] | None = None
) -> BaseEstimator:
    """Return the estimator in a file that `save` wrote.

    Parameters
    ----------
    path : path-like
        The file. No code from it is run, so that files of strangers can be loaded.
    components : mapping of str to object, default=None
        The parts that were left out, by name, see `save`. `describe` lists them.

    Returns
    -------
    estimator : estimator
        The estimator. Its predictions are the same, bit for bit, on the same machine.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If the file is damaged, was not written by `save`, or needs a later version of the library;
        or if `components` lacks a part, or has one that the file does not need.

    Warns
    -----
    VersionWarning
        If another version of the library wrote the file.

    See Also
    --------
    save : Has an example.
    """
    given = {} if components is None else dict(components)
    arrays, record = read(path)
    needed = _checked(path, record)
    if needed.keys() != given.keys():
        texts = ", ".join(f"{name} ({text})" for name, text in needed.items()) or "no parts"
        names = ", ".join(given) or "none"
        raise ValueError(f"{path} needs {texts} as components. Got {names}.")
    reader = Reader(arrays, given)
    with _about_reading(path, record):
        estimator: BaseEstimator = _estimator(reader, record)
        if reader.used != {*arrays, *given}:
            raise ValueError("the estimator does not use all of its arrays")
    return estimator


def describe(path: str | PathLike[str]) -> ModelDescription:
    """Return a description of the estimator in a file, without reading its arrays.

    Parameters
    ----------
    path : path-like
        A file that `save` wrote.

    Returns
    -------
    description : ModelDescription
        The estimator with its shapes and history, and the parts that `load` needs.

    Raises
    ------
    OSError, ValueError
        As in `load`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skmetainv import UNetReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.io import describe, save
    >>> from skmetainv.operators import Inpainting
    >>> est = UNetReconstructor(Inpainting(), max_epochs=1).fit(load_faces()[:5])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(est, Path(folder, "faces.skmi"))
    ...     description = describe(Path(folder, "faces.skmi"))
    >>> description.estimator
    'UNetReconstructor(max_epochs=1, operator=Inpainting())'
    >>> description.image_shape, len(description.history["loss"])
    ((25, 25), 1)
    """
    headers, record = read_header(path)
    components = _checked(path, record)
    with _about_reading(path, record):
        estimator = _estimator(HeaderReader(headers, components), record)
        fitted = vars(estimator)
        is_fitted = "image_shape_" in fitted
        history = fitted.get("history_", {})
        if not all(isinstance(values, list) for values in history.values()):
            raise ValueError("its history is not a dictionary of lists")
        return ModelDescription(
            estimator=repr(estimator),
            version=record["version"],
            components=components,
            is_fitted=is_fitted,
            image_shape=fitted.get("image_shape_"),
            measurement_shape=fitted.get("measurement_shape_"),
            data_range=fitted.get("data_range_"),
            n_weights=estimator.n_weights_ if is_fitted else None,
            history=history,
        )


def _checked(path: str | PathLike[str], record: Any) -> dict[str, str]:
    """Check the version of a record; return the types of the parts that were left out."""
    match record:
        case {"kind": "estimator", "format": 1, "version": str(version), "components": dict(parts)}:
            pass
        case {"kind": "estimator", "version": str(version)}:
            raise ValueError(
                f"{path} has the file format of skmetainv {version!r}, which skmetainv "
                f"{skmetainv.__version__} cannot read. Install the version that wrote it."
            )
        case _:
            raise ValueError(f"{path} was not written by `skmetainv.io.save`.")
    texts = {str(name): str(text) for name, text in parts.items()}
    if not all(text.isprintable() for text in (version, *texts, *texts.values())):
        raise DamagedFileError(f"{path} is damaged: a name has characters that cannot be printed.")
    if version != skmetainv.__version__:
        warn(
            f"{path} was written by skmetainv {version}, and you have {skmetainv.__version__}: "
            "results may differ.",
            VersionWarning,
        )
    return texts


@contextmanager
def _about_reading(path: str | PathLike[str], record: Mapping[str, Any]) -> Iterator[None]:
    """Turn errors of a record that cannot be understood into one that names the file."""
    try:
        yield
    except _NOT_UNDERSTOOD as error:
        raise DamagedFileError(
            f"{path}, written by skmetainv {record['version']}, cannot be read by "
            f"{skmetainv.__version__}: {str(error).rstrip('.')}."
        ) from error


def _estimator(reader: Reader, record: Mapping[str, Any]) -> Any:
    """Return the estimator of a record."""
    estimator = reader.value(record["model"])
    if not isinstance(estimator, Reconstructor | Denoiser):
        raise ValueError("it holds no estimator")
    return estimator


def _instead_of(value: Any) -> str:
    """Return what to pass to `save` instead of a value."""
    if hasattr(value, "best_estimator_"):
        return "Pass the best_estimator_ of the search."
    return f"Got {type(value).__name__} instead."
