"""Weights of networks from files: tensors by name, that others published or trained, never code."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors.torch import load_file

from skmetainv.exceptions import WeightsWarning, warn

StateDict = dict[str, torch.Tensor]
Understood = TypeVar("Understood")

# What torch.compile, DataParallel and the like put into names, wherever they wrap.
_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Of several networks in a file, the one that inference takes: with averaged weights, or the best.
_PREFERRED = {"ema", "best"}
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
# Ends of names that torch's weight and spectral normalisations give to what a weight is made of.
_PARAMETRISED = ("weight_orig", "weight_g", "weight_v", ".original", ".original0", ".original1")


class _Network(NamedTuple):
    """What may be a network's weights: in a dictionary of tensors, under one prefix."""

    keys: tuple[str, ...]
    prefix: str
    state: StateDict

    @property
    def place(self) -> str:
        """Where the weights are, in words."""
        keys = "".join(f"[{key!r}]" for key in self.keys)
        names = self.prefix and f"names that begin with {self.prefix!r}"
        return ", ".join(filter(None, [keys, names])) or "no prefix"

    @property
    def preference(self) -> int:
        """How many words of the place say that inference takes this one."""
        words = re.split("[^a-z]+", f"{'.'.join(self.keys)}.{self.prefix}".lower())
        return len(_PREFERRED.intersection(words))

    def equals(self, other: _Network) -> bool:
        names = self.state.keys()
        return names == other.state.keys() and all(
            torch.equal(self.state[name], other.state[name]) for name in names
        )


def read_weights(
    path: str | PathLike[str],
    owner: str,
    first: Sequence[str],
    understand: Callable[[StateDict], Understood],
    advice: str = "",
) -> Understood:
    """Return what a network makes of the weights in a file.

    The file is a state dict, by `torch.save` or in safetensors, or holds dictionaries that contain
    one at any depth, beside whatever else. Names may have a prefix, which all weights of the
    network must share, and what torch.compile and DataParallel put into them.

    Parameters
    ----------
    path : path-like
        The file. Pickled code is not run.
    owner : str
        What messages call the network.
    first : sequence of str
        Name of a weight that every such network has, one for each way of naming that is known.
    understand : callable
        ``understand(state)`` takes the tensors of one network, under names without prefix, and
        returns what is returned here. If they are not the network's, it raises a ValueError with
        the reason.
    advice : str, default=""
        What the user can do if no names are known, the end of the error.

    Returns
    -------
    result : object
        What `understand` returned for the network that was chosen.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no weights of the network. If it holds several different networks, of which the
        words "ema" and "best" do not single out one. If weights are not finite floating-point
        numbers.

    Warns
    -----
    WeightsWarning
        If there are tensors without the network's prefix, which are left out.
    """
    path = fspath(path)
    tables = list(_tables(_content(path)))
    if not tables:
        raise ValueError(f"{path} is not a state dict: it holds no tensors by name.")
    networks = [network for table in tables for network in _networks(*table, first)]
    if not networks:
        raise ValueError(f"{_unknown_names(path, owner, tables, first)}{advice}")
    understood, reasons = [], []
    for network in networks:
        try:
            _check_numbers(network.state)
            understood.append((network, understand(network.state)))
        except ValueError as error:
            reasons.append(f"of {network.place}, {error}" if len(networks) > 1 else str(error))
    if not understood:
        raise ValueError(f"The weights of {path} do not fit {owner}: {'; '.join(reasons)}")
    network, result = _choice(path, owner, understood)
    fitting = [other for other, _ in understood]
    left_out = _left_out(network, fitting, dict(tables)[network.keys])
    if left_out:
        warn(
            f"{owner} takes the weights of {path} under {network.place}. These other tensors were "
            f"ignored: {_listed(left_out)}.",
            WeightsWarning,
        )
    return result


def check_state(state: StateDict, expected: Mapping[str, torch.Tensor]) -> None:
    """Raise unless the names and shapes of weights are those of a network.

    Parameters
    ----------
    state : dict of str to tensor
        The weights.
    expected : mapping of str to tensor
        Those of the network, whose values do not matter.

    Raises
    ------
    ValueError
        With the first name that does not fit, and the reason.
    """
    for name, tensor in expected.items():
        if name not in state:
            raise ValueError(f"there is no {name!r}.")
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{name!r} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}."
            )
    unknown = [name for name in state if name not in expected]
    if unknown:
        raise ValueError(f"the network has no {unknown[0]!r}.")


def _content(path: str) -> Any:
    """Return what a file holds; its kind is known by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(9)
    if not head:
        raise ValueError(f"{path} is empty.")
    safetensors = head[8:] == b"{"
    try:
        if safetensors:
            return _nested(load_file(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever the bytes of another kind of file lead to
        raise ValueError(_unreadable(path, head, safetensors, error)) from error


def _nested(state: StateDict) -> dict[str, Any]:
    """Return tensors in the dictionaries that "kind/name" stands for in checkpoints of `fit`."""
    content: dict[str, Any] = {}
    for key, tensor in state.items():
        *kinds, name = key.split("/")
        inner = content
        for kind in kinds:
            inner = inner.setdefault(kind, {})
        inner[name] = tensor
    return content


def _unreadable(path: str, head: bytes, safetensors: bool, error: Exception) -> str:
    """Return why a file could not be read, and what to do."""
    if not safetensors and not head.startswith((b"PK", b"\x80")):
        return f"{path} is not a file of tensors, by `torch.save` or in safetensors."
    classes = re.findall(r"GLOBAL (\S+) was not an allowed|GLOBAL (\S+) whose module", str(error))
    if isinstance(error, pickle.UnpicklingError) and classes:
        found = next(filter(None, classes[0]))
        return (
            f"{path} is not a file of tensors alone: it holds a {found}, and no pickled code is "
            "run. Save the tensors alone, where the file is trusted: content = "
            f"torch.load({path!r}, weights_only=False), then torch.save(content.state_dict(), "
            "new_path) of a module, or torch.save(content['state_dict'], new_path), under the key "
            "that it has."
        )
    if "TorchScript" in str(error):
        return (
            f"{path} is not a file of tensors, but a program of TorchScript. Save its tensors: "
            f"torch.save(torch.jit.load({path!r}).state_dict(), new_path)."
        )
    reason = str(error).partition("\n")[0] or type(error).__name__
    return f"{path} is not a file of tensors, or is damaged: {reason}"


def _tables(
    content: Any, keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], StateDict]]:
    """Iterate over all dictionaries of tensors, each with the keys under which it is."""
    if not isinstance(content, Mapping):
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield keys, tensors
    for key, value in named.items():
        yield from _tables(value, (*keys, key))


def _networks(keys: tuple[str, ...], table: StateDict, first: Sequence[str]) -> Iterator[_Network]:
    """Iterate over what may be networks, by the names that each has."""
    prefixes = {
        _prefix(name, known): None  # a set in order
        for name in table
        for known in first
        if f".{_plain(name)}".endswith(f".{known}")
    }
    for prefix in prefixes:
        own = {k.removeprefix(prefix): v for k, v in table.items() if k.startswith(prefix)}
        yield _Network(keys, prefix, _unwrapped(own))


def _plain(name: str) -> str:
    """Return a name without what wrappers put there."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _prefix(name: str, known: str) -> str:
    """Return what is before a known name, though wrappers may have put parts between its own."""
    parts, n_known = name.split("."), len(known.split("."))
    while n_known:
        n_known -= parts.pop() not in _WRAPPERS
    return "".join(f"{part}." for part in parts)


def _unwrapped(table: StateDict) -> StateDict:
    """Return tensors under names without what wrappers put there, unless these would collide."""
    plain = {_plain(name): tensor for name, tensor in table.items()}
    return plain if len(plain) == len(table) else table


def _check_numbers(state: StateDict) -> None:
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        if tensor.layout != torch.strided or tensor.dtype not in _FLOATS:
            kind = str(tensor.layout if tensor.layout != torch.strided else tensor.dtype)
            raise ValueError(
                f"{name!r} is of type {kind.removeprefix('torch.')}, and weights are dense "
                "floating-point numbers of 16, 32 or 64 bits."
            )
        if not tensor.isfinite().all():
            raise ValueError(f"the weights are not all finite: {name!r} is not.")


def _choice(
    path: str, owner: str, understood: list[tuple[_Network, Understood]]
) -> tuple[_Network, Understood]:
    """Return the one network, or that of several which inference takes."""
    most = max(network.preference for network, _ in understood)
    chosen = [pair for pair in understood if pair[0].preference == most]
    if all(network.equals(chosen[0][0]) for network, _ in chosen):
        return chosen[0]
    places = [network.place for network, _ in chosen]
    keys, prefix, _ = chosen[0][0]
    raise ValueError(
        f"{path} holds several networks that could be {owner}: {_listed(places)}. Save one of them "
        f"alone: state = {_load_line(path, keys)}, then torch.save({{name.removeprefix({prefix!r}):"
        f" tensor for name, tensor in state.items() if name.startswith({prefix!r})}}, new_path)."
    )


def _left_out(network: _Network, fitting: list[_Network], table: StateDict) -> list[str]:
    """Return the names of weights beside a network that are of no other that fits, either."""
    prefixes = tuple(other.prefix for other in fitting if other.keys == network.keys)
    return [
        name
        for name, tensor in table.items()
        if not name.startswith(prefixes) and tensor.ndim and tensor.is_floating_point()
    ]


def _unknown_names(
    path: str, owner: str, tables: list[tuple[tuple[str, ...], StateDict]], first: Sequence[str]
) -> str:
    """Return what a file holds instead of known names, and the line that renames them."""
    keys, table = max(tables, key=lambda pair: len(pair[1]))
    shapes = [f"{name!r} of shape {tuple(tensor.shape)}" for name, tensor in table.items()]
    known = " or ".join(repr(name) for name in first)
    text = f"{path} holds no weights of {owner}: there is no {known}. It has {_listed(shapes)}."
    if any(name.endswith(_PARAMETRISED) for name in table):
        return (
            f"{text} They are what a weight or spectral normalisation makes its weights of: take "
            "it away before saving, by torch.nn.utils.parametrize.remove_parametrizations, "
            "remove_weight_norm or remove_spectral_norm."
        )
    for name in first:
        head, _, tail = name.partition(".")
        prefixes = [own.removesuffix(tail) for own in table if f".{own}".endswith(f".{tail}")]
        if "." in tail and prefixes:
            begin = len(prefixes[0])
            return (
                f"{text} If these are the layers of such a network, rename them: state = "
                f"{_load_line(path, keys)}, then torch.save({{f'{head}.{{name[{begin}:]}}': tensor "
                f"for name, tensor in state.items() if name.startswith({prefixes[0]!r})}}, "
                "new_path)."
            )
    return (
        f"{text} If these are the weights of such a network under other names, rename them: state "
        f"= {_load_line(path, keys)}, then torch.save({{new_name[name]: tensor for name, tensor in "
        "state.items()}, new_path)."
    )


def _load_line(path: str, keys: tuple[str, ...]) -> str:
    reader = "safetensors.torch.load_file" if path.endswith(".safetensors") else "torch.load"
    safely = "" if reader.endswith("file") else ", weights_only=True"
    return f"{reader}({path!r}{safely}){''.join(f'[{key!r}]' for key in keys)}"


def _listed(items: Sequence[str]) -> str:
    """Return the first few items, and how many there are beside them."""
    more = f" and {len(items) - 4} more" if len(items) > 4 else ""
    return f"{', '.join(items[:4])}{more}"
