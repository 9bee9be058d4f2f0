"""Reading a network's weights from published files and from our own, without running code."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors.torch import load_file

from skmetainv.exceptions import WeightsWarning, warn
from skmetainv.storage import checked_path, is_ours, read

StateDict = dict[str, torch.Tensor]
Understood = TypeVar("Understood")

# Parts that wrappers such as torch.compile and DataParallel insert into names at any level.
_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# If a file holds several networks, these words mark the one to use: averaged weights, or the best.
_PREFERRED = {"ema", "best"}
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
# Suffixes of the tensors from which torch's weight and spectral normalisations compute a weight.
_PARAMETRISED = ("weight_orig", "weight_g", "weight_v", ".original", ".original0", ".original1")


class _Network(NamedTuple):
    """A candidate for a network's weights: the tensors of one dictionary with one prefix."""

    keys: tuple[str, ...]
    prefix: str
    state: StateDict

    @property
    def place(self) -> str:
        """Location of the weights, as text."""
        keys = "".join(f"[{key!r}]" for key in self.keys)
        names = self.prefix and f"names that begin with {self.prefix!r}"
        return ", ".join(filter(None, [keys, names])) or "no prefix"

    @property
    def preference(self) -> int:
        """How many of the words "ema" and "best" the location contains."""
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
    sha256: str | None = None,
) -> Understood:
    """Read the weights of a network from a file.

    The file was written by `torch.save`, or is in safetensors format. It is a state dict, or nested
    dictionaries that contain one. If all names of the network begin with the same prefix, it is
    removed. Parts of names that torch.compile and DataParallel insert are removed, too.

    Parameters
    ----------
    path : path-like
        The file. Pickled code is not run.
    owner : str
        Name of the network in messages.
    first : sequence of str
        Names by which a network is recognised: for each naming scheme, the name of a weight that
        every such network has.
    understand : callable
        ``understand(state)`` takes the tensors of one network, with names without prefix, and
        returns the result. If they do not fit the network, it raises a ValueError with the reason.
    advice : str, default=""
        Advice that is added to the error if the file has none of the names in `first`.
    sha256 : str, default=None
        The SHA-256 checksum of the file, or at least its first 8 hexadecimal digits. If None, it is
        not checked.

    Returns
    -------
    result : object
        The result of `understand` for the chosen network.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has another checksum, or no weights of the network. If it has several different
        networks, and the words "ema" and "best" do not identify a single one. If weights are not
        finite floating-point numbers.

    Warns
    -----
    WeightsWarning
        If tensors without the network's prefix are ignored.
    """
    path = fspath(path)
    if sha256 is not None:
        _check_sha256(path, sha256)
    tables = list(_tables(_content(path)))
    if not tables:
        raise ValueError(f"{path} is not a state dict: it holds no named tensors.")
    networks = [network for table in tables for network in _networks(*table, first)]
    if not networks:
        raise ValueError(f"{_unknown_names(path, owner, tables, first)}{advice}")
    understood, reasons = [], []
    for network in networks:
        try:
            _check_numbers(network.state)
            understood.append((network, understand(network.state)))
        except ValueError as error:
            reasons.append(f"under {network.place}, {error}" if len(networks) > 1 else str(error))
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
    """Raise if the names or shapes of weights differ from those of a network.

    Parameters
    ----------
    state : dict of str to tensor
        The weights.
    expected : mapping of str to tensor
        Weights of the network; their values are not used.

    Raises
    ------
    ValueError
        If a name or a shape differs; the error names the first difference.
    """
    for name, tensor in expected.items():
        if name not in state:
            raise ValueError(f"there is no {name!r}.")
        check_shape(name, state[name], tensor.shape)
    unknown = [name for name in state if name not in expected]
    if unknown:
        raise ValueError(f"the network has no {unknown[0]!r}.")


def check_shape(name: str, weight: torch.Tensor, expected: tuple[int, ...]) -> None:
    """Raise a ValueError that names the weight, if its shape is not the expected one."""
    if weight.shape != expected:
        raise ValueError(f"{name!r} has shape {tuple(weight.shape)}, not {tuple(expected)}.")


def _check_sha256(path: str, expected: str) -> None:
    """Raise if a file does not have a checksum, of which the first digits are given."""
    if not re.fullmatch("[0-9a-fA-F]{8,64}", expected):
        raise ValueError(
            f"The 'sha256' parameter must have 8 to 64 hexadecimal digits. Got {expected!r} "
            "instead."
        )
    with open(checked_path(path), "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected.lower()):
        raise ValueError(
            f"{path} has the SHA-256 checksum {found}, not {expected}: it is damaged, or another "
            "file."
        )


def _content(path: str) -> Any:
    """Load a file; its first bytes determine the format."""
    with open(checked_path(path), "rb") as file:
        head = file.read(9)
    if not head:
        raise ValueError(f"{path} is empty.")
    safetensors = head[8:] == b"{"
    try:
        if safetensors:
            return _nested(_of_safetensors(path))
        if head.startswith(b"PK"):
            _check_zip(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # bytes of another format can raise anything
        if isinstance(error, OSError) and error.filename is not None:
            raise  # the file cannot be opened
        raise ValueError(_unreadable(path, head, safetensors, error)) from error


def _of_safetensors(path: str) -> StateDict:
    """Return the tensors of a file; the checksums in our own files are compared."""
    if not is_ours(path):
        return load_file(path)
    arrays, _ = read(path)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _check_zip(path: str) -> None:
    """Raise an error if a part of a zip archive does not have its checksum; torch checks none."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of its part {damaged!r} is wrong")


def _nested(state: StateDict) -> dict[str, Any]:
    """Turn names like "group/name", which checkpoints of `fit` have, into nested dictionaries."""
    content: dict[str, Any] = {}
    for key, tensor in state.items():
        *groups, name = key.split("/")
        inner = content
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[name] = tensor
    return content


def _unreadable(path: str, head: bytes, safetensors: bool, error: Exception) -> str:
    """Return the reason why a file could not be read, and advice."""
    if not safetensors and not head.startswith((b"PK", b"\x80")):
        return f"{path} is not a file of tensors, written by `torch.save` or in safetensors."
    classes = re.findall(r"GLOBAL (\S+) was not an allowed|GLOBAL (\S+) whose module", str(error))
    if isinstance(error, pickle.UnpicklingError) and classes:
        class_name = next(filter(None, classes[0]))
        return (
            f"{path} is not a file of tensors alone: it holds a {class_name}, and no pickled code "
            "is run. If you trust the file, save its tensors alone: content = "
            f"torch.load({path!r}, weights_only=False), then torch.save(content.state_dict(), "
            "new_path) if it is a module, or torch.save(content['state_dict'], new_path) with the "
            "right key."
        )
    if "TorchScript" in str(error):
        return (
            f"{path} is not a file of tensors, but a TorchScript program. Save its tensors: "
            f"torch.save(torch.jit.load({path!r}).state_dict(), new_path)."
        )
    reason = str(error).partition("\n")[0] or type(error).__name__
    return f"{path} is not a file of tensors, or is damaged: {reason}"


def _tables(
    content: Any, keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], StateDict]]:
    """Iterate over all dictionaries of tensors, each with the keys that lead to it."""
    if not isinstance(content, Mapping):
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield keys, tensors
    for key, value in named.items():
        yield from _tables(value, (*keys, key))


def _networks(keys: tuple[str, ...], table: StateDict, first: Sequence[str]) -> Iterator[_Network]:
    """Yield candidates for networks: one for each prefix with which a name in `first` occurs."""
    prefixes = {
        _prefix(name, first_name): None  # a set in order
        for name in table
        for first_name in first
        if f".{_plain(name)}".endswith(f".{first_name}")
    }
    for prefix in prefixes:
        state = {k.removeprefix(prefix): v for k, v in table.items() if k.startswith(prefix)}
        yield _Network(keys, prefix, _unwrapped(state))


def _plain(name: str) -> str:
    """Return a name without the parts inserted by wrappers."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _prefix(name: str, first_name: str) -> str:
    """Return the part of `name` before `first_name`, which wrappers may have split."""
    parts, n_to_drop = name.split("."), len(first_name.split("."))
    while n_to_drop:
        n_to_drop -= parts.pop() not in _WRAPPERS
    return "".join(f"{part}." for part in parts)


def _unwrapped(table: StateDict) -> StateDict:
    """Remove the parts that wrappers insert into names, unless two names would become equal."""
    plain = {_plain(name): tensor for name, tensor in table.items()}
    return plain if len(plain) == len(table) else table


def _check_numbers(state: StateDict) -> None:
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        if tensor.is_meta:
            raise ValueError(f"{name!r} has a shape, but no values: it was saved on device 'meta'.")
        if tensor.layout != torch.strided or tensor.dtype not in _FLOATS:
            type_name = str(tensor.layout if tensor.layout != torch.strided else tensor.dtype)
            raise ValueError(
                f"{name!r} is of type {type_name.removeprefix('torch.')}, but weights must be "
                "dense floating-point numbers of 16, 32 or 64 bits."
            )
        if not tensor.isfinite().all():
            raise ValueError(f"the weights are not all finite: {name!r} is not.")


def _choice(
    path: str, owner: str, understood: list[tuple[_Network, Understood]]
) -> tuple[_Network, Understood]:
    """Return the network of highest preference; raise if several different ones share it."""
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
    """Return the names of weights that belong to no network that fits."""
    prefixes = tuple(other.prefix for other in fitting if other.keys == network.keys)
    return [
        name
        for name, tensor in table.items()
        if not name.startswith(prefixes) and tensor.ndim and tensor.is_floating_point()
    ]


def _unknown_names(
    path: str, owner: str, tables: list[tuple[tuple[str, ...], StateDict]], first: Sequence[str]
) -> str:
    """Return an error text with the names in a file, and the line that renames them."""
    keys, table = max(tables, key=lambda pair: len(pair[1]))
    shapes = [f"{name!r} of shape {tuple(tensor.shape)}" for name, tensor in table.items()]
    expected = " or ".join(repr(name) for name in first)
    text = f"{path} holds no weights of {owner}: there is no {expected}. It has {_listed(shapes)}."
    if any(name.endswith(_PARAMETRISED) for name in table):
        return (
            f"{text} They belong to a weight or spectral normalisation. Before saving, remove it "
            "by torch.nn.utils.parametrize.remove_parametrizations, remove_weight_norm or "
            "remove_spectral_norm."
        )
    for name in first:
        head, _, tail = name.partition(".")
        prefixes = [key.removesuffix(tail) for key in table if f".{key}".endswith(f".{tail}")]
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
    """Return the first four items, and the number of further ones."""
    more = f" and {len(items) - 4} more" if len(items) > 4 else ""
    return f"{', '.join(items[:4])}{more}"
