"""The classes whose objects a file of an estimator may hold, by their public names."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isabstract

from sklearn.frozen import FrozenEstimator

import skmetainv.estimators  # noqa: F401  defines the classes, and imports those of all lower layers
from skmetainv.arrays import Layout
from skmetainv.inputs import Geometry
from skmetainv.parameters import ParameterObject, package_of, public_subclasses
from skmetainv.training import Checkpoint

#: Objects of these classes are written by their fields.
RECORDS = (Geometry, Layout)

# The packages with parts of estimators. Others may or may not have been imported.
_PACKAGES = {
    f"skmetainv.{name}"
    for name in (
        *("denoisers", "estimators", "losses", "meta", "noise", "operators"),
        *("representations", "solvers", "training"),
    )
}


def _parts_of_estimators() -> Iterator[type[ParameterObject]]:
    """Iterate over the public classes whose objects are parts of estimators."""
    for cls in public_subclasses(ParameterObject):
        # A checkpoint's path concerns the machine of training.
        if package_of(cls) in _PACKAGES and not isabstract(cls) and cls is not Checkpoint:
            yield cls


def _name(cls: type) -> str:
    """Return the name of a class in files, which does not depend on its module in a package."""
    return f"{package_of(cls)}.{cls.__name__}"


_CLASSES = (*dict.fromkeys(_parts_of_estimators()), *RECORDS, FrozenEstimator)
_BY_NAME: dict[str, type] = {_name(cls): cls for cls in _CLASSES}
_NAMES = {cls: name for name, cls in _BY_NAME.items()}

#: The types of this library to trust when a file of ``skops.io`` is loaded.
TRUSTED_TYPES = sorted(
    f"{cls.__module__}.{cls.__qualname__}" for cls in _CLASSES if cls is not FrozenEstimator
)


def name_of(cls: type) -> str | None:
    """Return the name of a class in files; None if files hold no objects of this class."""
    return _NAMES.get(cls)


def class_named(name: str) -> type:
    """Return the class with a name in files.

    Raises
    ------
    ValueError
        If this version of the library has no such class.
    """
    if name not in _BY_NAME:
        raise ValueError(f"it has an object of the unknown class {name!r}")
    return _BY_NAME[name]
