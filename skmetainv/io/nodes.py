"""Conversion of an estimator to JSON and named arrays, and back.

None, booleans, numbers, strings and lists are written as such. Any other value is an object whose
first key is its kind: ``{"tuple": [...]}``, ``{"array": name}``, ``{"object": class_name,
"parameters": {...}, "fitted": {...}}``. Only the kinds in this module and the classes in `classes`
can be read. So no file decides which code runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import fields
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import scipy.stats
import torch
from scipy.stats import rv_continuous, rv_discrete
from sklearn.base import BaseEstimator

from skmetainv.io.classes import RECORDS, class_named, name_of
from skmetainv.operators.maps.hidden_parts import frozen
from skmetainv.operators.random_operator import distribution_parts
from skmetainv.parameters import ParameterObject
from skmetainv.reconstruction import Reconstructor
from skmetainv.reconstruction.canonical import canonical
from skmetainv.storage import ArrayHeader, array_checksum

# Parameters that concern the machine of training; they are saved and loaded at their defaults.
_OF_THE_MACHINE = {"checkpoint": None, "device": "auto"}

# Attributes that are not saved: built modules, and scikit-learn's callbacks and metadata requests.
_NOT_SAVED = {"_cache", "_skl_callbacks", "_metadata_request"}

_FITTED = re.compile("_?[a-z][a-z0-9_]*_")

# Names as values of a file: of NumPy's generators, of SciPy's sparse matrices, of torch's types.
_BIT_GENERATORS = {"MT19937", "PCG64"}
_NUMBERS = {
    *("bool", "float16", "float32", "float64", "complex64", "complex128"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_SPARSE = {f"{form}_{kind}" for form in ("csr", "csc", "coo") for kind in ("matrix", "array")}
_AS_INTEGERS = {"bfloat16": torch.int16}

# Limits of what a forged file can make of few bytes: copies of arrays as a multiple of the arrays,
# and rows of a sparse matrix.
_MOST_COPIES, _MOST_ROWS = 10, 10**8


def part_name(path: Iterable[str]) -> str:
    """Return the name of a part, as in `set_params`; fitted copies have the parameter's name."""
    return "__".join(part.strip("_") for part in path)


def of_the_machine(parameters: Iterable[str]) -> dict[str, Any]:
    """Return the defaults of the parameters that concern the machine of training, by name."""
    return {name: default for name, default in _OF_THE_MACHINE.items() if name in parameters}


def _distribution(name: str) -> Any:
    """Return the distribution of `scipy.stats` with a name, or None."""
    distribution = getattr(scipy.stats, name, None)
    return distribution if isinstance(distribution, rv_continuous | rv_discrete) else None


class Writer:
    """Turns values into nodes.

    Parameters
    ----------
    components : iterable of str
        Names of the parts to leave out, see `skmetainv.io.save`.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays of the nodes so far.
    left_out : dict of str to str
        The types of the parts that were left out, by name.
    """

    def __init__(self, components: Iterable[str]):
        self.components = set(components)
        self.arrays: dict[str, np.ndarray] = {}
        self.left_out: dict[str, str] = {}
        self._values: dict[str, Any] = {}  # of the parts that were left out
        self._names: dict[str, str] = {}  # by checksum

    def node(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        """Return the node of a value; `path` has the names that lead to it.

        Raises
        ------
        ValueError
            If a file cannot hold the value; the error names it.
        """
        name = part_name(path)
        if name in self.components:
            return self._component(name, value)
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is list:
            return self._nodes(value, path)
        node = self._of_kind(value, path)
        if node is None:
            raise ValueError(
                f"{name} is {_described(value)}, which the file cannot hold, because loading runs "
                f"no code of a file. Leave it out: save(..., components=[{name!r}]). Give it when "
                f"you load: load(..., components={{{name!r}: ...}})."
            )
        return node

    def _component(self, name: str, value: Any) -> dict[str, str]:
        first = self._values.setdefault(name, value)
        if value is not first and canonical(value) != canonical(first):
            raise ValueError(
                f"{name} is not what the estimator was fitted with. Fit it again before saving."
            )
        self.left_out[name] = _described(value)
        return {"component": name}

    def _nodes(self, values: Iterable[Any], path: tuple[str, ...]) -> list[Any]:
        return [self.node(value, (*path, str(i))) for i, value in enumerate(values)]

    def _items(self, values: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        return {key: self.node(value, (*path, key)) for key, value in values.items()}

    def _of_kind(self, value: Any, path: tuple[str, ...]) -> Any:
        """Return the node of a value with a kind; None if it has none."""
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is complex:
            return {"complex": self._nodes([value.real, value.imag], path)}
        if type(value) is tuple:
            return {"tuple": self._nodes(value, path)}
        if type(value) is dict and all(type(key) is str for key in value):
            return {"dict": self._items(value, path)}
        if isinstance(value, PathLike):
            return {"path": fspath(value)}
        if isinstance(value, np.str_):
            return str(value)
        if isinstance(value, np.generic):
            is_number = value.dtype.name in _NUMBERS
            number = self.node(value.item(), path) if is_number else None
            return {"number": number, "dtype": value.dtype.name} if is_number else None
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, torch.Tensor):
            return self._tensor(value, path)
        if type(value).__name__ in _SPARSE and scipy.sparse.issparse(value):
            coordinates = scipy.sparse.coo_array(value)
            parts = self._nodes([coordinates.data, coordinates.row, coordinates.col], path)
            return {"sparse": type(value).__name__, "shape": list(value.shape), "parts": parts}
        if isinstance(value, np.random.RandomState | np.random.Generator):
            return self._generator(value, path)
        distribution = distribution_parts(value)
        if distribution is not None:
            name, *arguments = distribution
            return {"distribution": name, "arguments": self._nodes(arguments, path)}
        return self._object(value, path) if name_of(type(value)) else None

    def _array(self, array: np.ndarray, path: tuple[str, ...]) -> Any:
        """Return the node of an array; None if its type cannot be written."""
        if np.ma.isMaskedArray(array):
            return None
        if array.dtype.kind in "OU":
            texts = array.tolist()
            is_text = array.ndim == 1 and all(type(text) is str for text in texts)
            return {"strings": texts, "dtype": array.dtype.kind} if is_text else None
        native = np.asarray(array, dtype=array.dtype.newbyteorder("="))
        if native.dtype in (np.complex64, np.complex128):
            parts = np.ascontiguousarray(native)[..., None].view(native.real.dtype)
            return {"complex_array": self._stored(parts, path)}
        if native.dtype.kind not in "biuf" or native.dtype.itemsize > 8:
            return None
        return {"array": self._stored(native, path)}

    def _stored(self, array: np.ndarray, path: tuple[str, ...]) -> str:
        """Store an array, and return its name; an array with the same content is stored once."""
        checksum, name = array_checksum(array), "/".join(path)
        if checksum not in self._names:
            while name in self.arrays:
                name += "+"
            self._names[checksum], self.arrays[name] = name, array
        return self._names[checksum]

    def _tensor(self, tensor: torch.Tensor, path: tuple[str, ...]) -> Any:
        dtype = str(tensor.dtype).removeprefix("torch.")
        is_dense = tensor.layout == torch.strided and not tensor.is_quantized
        if not is_dense or tensor.is_meta or "float8" in dtype:
            return None
        values = tensor.detach().cpu().resolve_conj().resolve_neg()
        stored = values.view(_AS_INTEGERS[dtype]) if dtype in _AS_INTEGERS else values
        return {"tensor": self._array(stored.numpy(), path), "dtype": dtype}

    def _generator(self, value: Any, path: tuple[str, ...]) -> Any:
        legacy = isinstance(value, np.random.RandomState)
        state = value.get_state(legacy=False) if legacy else value.bit_generator.state
        if state["bit_generator"] not in _BIT_GENERATORS:
            return None
        return {"generator": type(value).__name__, "state": self.node(state, path)}

    def _object(self, value: Any, path: tuple[str, ...]) -> dict[str, Any]:
        """Return the node of an object of one of our classes."""
        class_name = name_of(type(value))
        if isinstance(value, RECORDS):
            parameters = {field.name: getattr(value, field.name) for field in fields(value)}
            return {"object": class_name, "parameters": self._items(parameters, path)}
        parameters = value.get_params(deep=False)
        fitted = {k: v for k, v in vars(value).items() if k not in {*parameters, *_NOT_SAVED}}
        for key in fitted:
            if not _FITTED.fullmatch(key):
                raise ValueError(
                    f"{part_name((*path, key))} is neither a parameter nor a fitted attribute of "
                    f"{type(value).__name__}, and cannot be saved. Remove it before saving."
                )
        if isinstance(value, Reconstructor):
            parameters |= of_the_machine(parameters)
        node = {"object": class_name, "parameters": self._items(parameters, path)}
        return node | ({"fitted": self._items(fitted, path)} if fitted else {})


class Reader:
    """Turns nodes into values.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The arrays of the file.
    components : mapping of str to object
        The parts that were left out, by name.

    Attributes
    ----------
    used : set of str
        Names of the arrays and components that were used.
    """

    def __init__(self, arrays: Mapping[str, Any], components: Mapping[str, Any]):
        self.arrays, self.components = arrays, components
        self.used: set[str] = set()
        self._n_bytes_left = _MOST_COPIES * sum(array.nbytes for array in arrays.values())

    def value(self, node: Any, path: tuple[str, ...] = ()) -> Any:
        """Return the value of a node; `path` has the names that lead to it.

        Raises
        ------
        ValueError
            If it is not a node, or has an unknown class or parameter; the error names it.
        """
        if isinstance(node, list):
            return self._values(node, path)
        if not isinstance(node, dict):
            return node
        kind = next(iter(node), "")
        readers: dict[str, Callable[..., Any]] = {
            "array": self._array,
            "complex": lambda parts, path: complex(*self._values(parts, path)),
            "complex_array": self._complex_array,
            "component": self._component,
            "dict": lambda items, path: self._items(items, path),
            "float": lambda text, path: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text],
            "generator": self._generator,
            "number": self._number,
            "object": self._object,
            "path": lambda text, path: Path(text),
            "distribution": self._frozen_distribution,
            "sparse": self._sparse,
            "strings": self._strings,
            "tensor": self._tensor,
            "tuple": lambda nodes, path: tuple(self._values(nodes, path)),
        }
        if kind not in readers:
            raise ValueError(f"{part_name(path)} is of the unknown kind {kind!r}")
        others = {key: content for key, content in node.items() if key != kind}
        return readers[kind](node[kind], path, **others)

    def _values(self, nodes: list[Any], path: tuple[str, ...]) -> list[Any]:
        return [self.value(node, (*path, str(i))) for i, node in enumerate(nodes)]

    def _items(self, nodes: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        return {key: self.value(node, (*path, key)) for key, node in nodes.items()}

    def _number(self, value: Any, path: tuple[str, ...], dtype: str) -> Any:
        if dtype not in _NUMBERS:
            raise ValueError(f"{part_name(path)} is of the unknown type {dtype!r}")
        return np.dtype(dtype).type(self.value(value, path))

    def _strings(self, texts: Any, path: tuple[str, ...], dtype: str) -> Any:
        is_text = isinstance(texts, list) and all(type(text) is str for text in texts)
        if not is_text or dtype not in ("O", "U"):
            raise ValueError(f"{part_name(path)} is not a list of strings")
        return np.array(texts, dtype=dtype)

    def _array(self, name: str, path: tuple[str, ...]) -> Any:
        array = self.arrays[name]
        if name not in self.used:
            self.used.add(name)
            return array
        self._n_bytes_left -= array.nbytes
        if self._n_bytes_left < 0:
            raise ValueError("it has too many copies of its arrays")
        return array.copy()

    def _complex_array(self, name: str, path: tuple[str, ...]) -> Any:
        parts = self._array(name, path)
        return parts.view({4: np.complex64, 8: np.complex128}[parts.dtype.itemsize])[..., 0]

    def _tensor(self, node: Any, path: tuple[str, ...], dtype: str) -> torch.Tensor:
        tensor = torch.from_numpy(self.value(node, path))
        return tensor.view(getattr(torch, dtype)) if dtype in _AS_INTEGERS else tensor

    def _sparse(self, name: str, path: tuple[str, ...], shape: list[int], parts: Any) -> Any:
        if name not in _SPARSE:
            raise ValueError(f"{part_name(path)} is of the unknown kind {name!r}")
        if not all(0 <= n <= _MOST_ROWS for n in shape):
            raise ValueError(f"{part_name(path)} has too many rows or columns")
        data, *coordinates = self._values(parts, path)
        return getattr(scipy.sparse, name)((data, tuple(coordinates)), shape=tuple(shape))

    def _frozen_distribution(self, name: str, path: tuple[str, ...], arguments: Any) -> Any:
        distribution = _distribution(name)
        if distribution is None:
            raise ValueError(f"{part_name(path)} is of the unknown distribution {name!r}")
        args, kwds = self.value(arguments, path)
        return distribution(*args, **kwds)

    def _generator(self, kind: str, path: tuple[str, ...], state: Any) -> Any:
        state = self.value(state, path)
        is_known = state["bit_generator"] in _BIT_GENERATORS
        # NumPy does not check this position, and would read beyond its array.
        if not is_known or not 0 <= state["state"].get("pos", 0) <= 624:
            raise ValueError(f"{part_name(path)} is not the state of a generator")
        bits = getattr(np.random, state["bit_generator"])()
        generator = {"RandomState": np.random.RandomState, "Generator": np.random.Generator}[kind]
        if kind == "RandomState":
            restored = generator(bits)
            restored.set_state(state)
            return restored
        bits.state = state
        return generator(bits)

    def _component(self, name: str, path: tuple[str, ...]) -> Any:
        self.used.add(name)
        part = self.components[name]
        is_fitted_copy = any(step.endswith("_") for step in path)
        if is_fitted_copy and isinstance(part, torch.nn.Module):
            return frozen(deepcopy(part))
        return part

    def _object(
        self, class_name: str, path: tuple[str, ...], parameters: Any, fitted: Any = None
    ) -> Any:
        """Return an object of one of our classes, with checked parameters."""
        cls: Any = class_named(class_name)
        if issubclass(cls, Reconstructor):
            parameters = {**parameters, **of_the_machine(parameters)}
        if cls in RECORDS:
            return cls(**self._items(parameters, path))
        unknown = parameters.keys() - set(cls._get_param_names())
        if unknown:
            names = ", ".join(part_name((*path, name)) for name in sorted(unknown))
            raise ValueError(f"this version of the library has no parameter {names}")
        estimator: BaseEstimator = cls(**self._items(parameters, path))
        self._check(estimator)
        if fitted and isinstance(estimator, Reconstructor):
            vars(estimator)["_cache"] = {}
        for name, node in (fitted or {}).items():
            if not _FITTED.fullmatch(name) or hasattr(cls, name):
                raise ValueError(f"{part_name((*path, name))} is not a fitted attribute")
            vars(estimator)[name] = self.value(node, (*path, name))
        return estimator

    def _check(self, estimator: BaseEstimator) -> None:
        """Raise if a parameter is out of its range."""
        if isinstance(estimator, ParameterObject):
            estimator._validate_params()


class LeftOut:
    """A part that is not in the file."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.text}>"


class Unread(np.ndarray):
    """An array of a file whose values were not read."""

    def __repr__(self) -> str:
        return f"<{self.dtype} array of shape {self.shape}>"


class HeaderReader(Reader):
    """Turns nodes into values, with `Unread` arrays and `LeftOut` components.

    Parameters
    ----------
    arrays : mapping of str to ArrayHeader
        The shapes and types of the arrays of the file.
    components : mapping of str to str
        The types of the parts that were left out, by name.
    """

    arrays: Mapping[str, ArrayHeader]

    def _component(self, name: str, path: tuple[str, ...]) -> LeftOut:
        return LeftOut(self.components[name])

    def _check(self, estimator: BaseEstimator) -> None:
        """Check nothing: parts are missing."""

    def _array(self, name: str, path: tuple[str, ...]) -> Any:
        return _unread(*self.arrays[name])

    def _complex_array(self, name: str, path: tuple[str, ...]) -> Any:
        (*shape, _), dtype = self.arrays[name]
        return _unread(tuple(shape), np.result_type(dtype, np.complex64))

    def _tensor(self, node: Any, path: tuple[str, ...], dtype: str) -> Any:
        return self.value(node, path)

    def _sparse(self, name: str, path: tuple[str, ...], shape: list[int], parts: Any) -> Any:
        return _unread(tuple(shape), self._values(parts, path)[0].dtype)


def _unread(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Unread:
    return np.broadcast_to(np.zeros((), dtype=dtype), shape).view(Unread)


def _described(value: Any) -> str:
    """Return the type of a value, with the name of a function or class, for messages."""
    name = getattr(value, "__qualname__", None)
    return f"a {type(value).__name__}" if name is None else f"the {type(value).__name__} {name}"
