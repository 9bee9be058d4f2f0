"""The classes whose objects a file of an estimator may hold, by their public names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import isabstract

from sklearn.frozen import FrozenEstimator

import skmetainv.estimators  # noqa: F401  defines the classes, and imports those of all lower layers
from skmetainv.arrays import Layout
from skmetainv.inputs import Geometry
from skmetainv.parameters import ParameterObject

#: Objects of these classes are written by their fields.
RECORDS = (Geometry, Layout)


def _parameter_objects(base: type[ParameterObject]) -> Iterator[type[ParameterObject]]:
    """Iterate over the public classes of this library that derive from `base`."""
    for cls in base.__subclasses__():
        package = ".".join(cls.__module__.split(".")[:2])
        is_public = getattr(sys.modules.get(package), cls.__name__, None) is cls
        if package.startswith("skmetainv.") and is_public and not isabstract(cls):
            yield cls
        yield from _parameter_objects(cls)


def _name(cls: type) -> str:
    """Return the name of a class in files, which does not depend on its module in a package."""
    package, *modules = cls.__module__.split(".")
    return ".".join([package, *modules[:1], cls.__name__])


_CLASSES = (*dict.fromkeys(_parameter_objects(ParameterObject)), *RECORDS, FrozenEstimator)
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
