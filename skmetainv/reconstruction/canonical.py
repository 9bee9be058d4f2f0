"""A canonical text for a value, the same in every process."""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
import sysconfig
import textwrap
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skmetainv.operators.random_operator import distribution_parts

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), range, slice)

# Characters of a digest: enough to distinguish any two values, and few enough to compare by eye.
_DIGEST_LENGTH = 16

# scikit-learn's own entries in the state of estimators: its version and callbacks.
_OF_SKLEARN = {"_skl_callbacks", "_sklearn_version"}


def canonical(value: Any, left_out: Iterable[str] = ()) -> str:
    """Return a text for a value; two values with equal texts count as the same.

    Numbers, strings and containers are written out. Arrays, tensors and weights of modules are
    represented by shape and digest; estimators by their parameters and fitted attributes.

    A function of Python or of an installed package is represented by its name. Any other function
    is represented by its defaults, its closure and a digest of its source without comments; if
    there is no source, by its byte code instead.

    Other objects are represented by the state that pickle would store. Those that cannot be pickled
    are represented by their class alone, so that all objects of the class count as equal.

    Parameters
    ----------
    value : object
        The value.
    left_out : iterable of str, default=()
        Parameters and attributes of estimators to ignore.
    """
    return _Writer(set(left_out) | _OF_SKLEARN).text(value)


def digest(parts: Iterable[bytes]) -> str:
    """Return a short hash of bytes."""
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(part)
    return sha256.hexdigest()[:_DIGEST_LENGTH]


class _Writer:
    """Writes one value recursively; `within` holds the objects that are being written."""

    def __init__(self, left_out: set[str]):
        self.left_out, self.within = left_out, set[int]()

    def text(self, value: Any) -> str:
        if isinstance(value, np.generic):
            value = value.item()
        if type(value) in _PLAIN:
            return repr(value)
        if id(value) in self.within:
            return "..."
        self.within.add(id(value))
        try:
            return self._of_object(value)
        finally:
            self.within.remove(id(value))

    def _of_object(self, value: Any) -> str:
        if isinstance(value, np.ndarray | torch.Tensor):
            return self._of_array(value)
        if isinstance(value, Mapping):
            pairs = sorted((self.text(key), self.text(value[key])) for key in value)
            return "{" + ", ".join(f"{key}: {text}" for key, text in pairs) + "}"
        if isinstance(value, set | frozenset):
            return "{" + ", ".join(sorted(map(self.text, value))) + "}"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(map(self.text, value)) + "]"
        if isinstance(value, BaseEstimator):
            state = value.__getstate__()
            return self._call(value, {n: v for n, v in state.items() if n not in self.left_out})
        if isinstance(value, torch.nn.Module):
            state = {name: part.detach() for name, part in value.state_dict().items()}
            return self._call(value, {"layers": repr(value), "weights": state})
        if isinstance(value, partial):
            return f"partial({self.text([value.func, value.args, value.keywords])})"
        if isinstance(value, MethodType):
            return f"{self.text(value.__self__)}.{value.__name__}"
        if isinstance(value, FunctionType):
            return self._of_function(value)
        if isinstance(value, type | BuiltinFunctionType | np.ufunc | ModuleType):
            return _name(value)
        if isinstance(value, PurePath | torch.dtype | torch.device | np.dtype):
            return str(value)
        return self._of_any(value)

    def _call(self, value: object, state: Mapping[str, Any]) -> str:
        parts = (f"{key}={self.text(part)}" for key, part in state.items())
        return f"{type(value).__qualname__}({', '.join(parts)})"

    def _of_array(self, value: Any) -> str:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        if array.dtype.hasobject:
            return f"array({self.text(array.tolist())})"
        contiguous = np.ascontiguousarray(array)
        return f"{contiguous.dtype} array of shape {array.shape}, {digest([contiguous.tobytes()])}"

    def _of_function(self, function: FunctionType) -> str:
        if _is_installed(function):
            return _name(function)
        enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
        others = [function.__defaults__, function.__kwdefaults__, enclosed]
        source = digest([_source(function).encode()])
        return f"{function.__qualname__}({source}, {self.text(others)})"

    def _of_any(self, value: Any) -> str:
        distribution = distribution_parts(value)
        if distribution is not None:
            return f"distribution({self.text(distribution)})"
        try:
            reduced = value.__reduce_ex__(2)
        except Exception:  # the value cannot be pickled, like an open file
            return _name(type(value))
        if isinstance(reduced, str):
            return f"{_name(type(value))}.{reduced}"
        parts = [list(part) if hasattr(part, "__next__") else part for part in reduced[1:]]
        return f"{_name(type(value))}({self.text(parts)})"


def _name(value: Any) -> str:
    name = getattr(value, "__qualname__", getattr(value, "__name__", type(value).__name__))
    return f"{getattr(value, '__module__', None) or type(value).__module__}.{name}"


def _is_installed(function: FunctionType) -> bool:
    """Return whether a function belongs to Python or to an installed package."""
    if function.__module__.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return True
    folders = sysconfig.get_paths()
    path = function.__code__.co_filename
    return (
        path.startswith((folders["purelib"], folders["platlib"])) and function.__closure__ is None
    )


def _source(function: FunctionType) -> str:
    """Return the normalised source of a function; without a source, its names and bytecode."""
    code = function.__code__
    try:
        if function.__name__ == "<lambda>":
            return _expression(code)
        return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, IndexError, TypeError, SyntaxError):
        constants = [str(c) for c in code.co_consts if not inspect.iscode(c)]
        return repr((code.co_names, sorted(constants), code.co_code))


def _expression(code: Any) -> str:
    """Return the expression of a lambda, which may share its line with others."""
    places = [place for place in code.co_positions() if None not in place and place[3]]
    first = min((line, column) for line, _, column, _ in places)
    last = max((line, column) for _, line, _, column in places)
    node = ast.expr(
        lineno=first[0], col_offset=first[1], end_lineno=last[0], end_col_offset=last[1]
    )
    body = ast.get_source_segment("".join(linecache.getlines(code.co_filename)), node)
    return f"{code.co_varnames[: code.co_argcount]}: {ast.unparse(ast.parse(f'({body})'))}"
