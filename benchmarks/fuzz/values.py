"""Random values of parameters, and random changes of arrays."""

import datetime
import decimal
import fractions

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from hypothesis import strategies as st
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from skmetainv import LinearReconstructor
from skmetainv.denoisers import TotalVariation
from skmetainv.losses import L2
from skmetainv.meta import MAML
from skmetainv.noise import PoissonNoise
from skmetainv.operators import GaussianBlur, Inpainting
from skmetainv.representations import PixelGrid, Siren
from skmetainv.solvers import HQS, GradientDescent
from skmetainv.training import Adam

# ---------------------------------------------------------------------- parameters

# No integer is large: a million updates or units are a valid request that does not end in time.
_INTEGERS = st.sampled_from([0, 1, 2, 3, 5, -1, -(10**40), np.int64(2), np.uint8(3), np.int32(-1)])
_NUMBERS = st.one_of(
    _INTEGERS,
    st.floats(),
    st.floats(0, 2),
    st.sampled_from([0.0, -0.0, 1.0, 1e-300, 5e-324, 1e-9, 1e9, 1e38, 1e300]),
    st.sampled_from([np.float32(0.5), np.float16(0.5), np.longdouble(0.5), np.bool_(True)]),
    st.sampled_from([0.5j, decimal.Decimal("0.5"), fractions.Fraction(1, 2)]),
)
_TEXTS = st.one_of(
    st.text(max_size=4),
    st.sampled_from(["auto", "l2", "adam", "zeros", "adjoint", "center", "reflect", "all", "1.0"]),
    st.sampled_from([b"auto", "AUTO", "None", "..", "/", "\0", "ä/ü", "x" * 300]),
)
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
_SHAPES = [(), (0,), (1,), (2,), (3,), (3, 3), (8, 8), (3, 64), (1, 8, 8), (8, 8, 2)]
_TYPES = ["f4", "f8", ">f4", "f2", "i8", "u1", "?", "c8", "c16", "O", "U2", "M8[s]"]
_ARRAYS = st.one_of(
    st.builds(
        lambda shape, dtype: np.ones(shape).astype(dtype),
        st.sampled_from(_SHAPES),
        st.sampled_from(_TYPES),
    ),
    st.sampled_from([
        torch.ones(3, 3), torch.ones(8, 8, dtype=torch.bool), torch.ones(()), torch.ones(2).int(),
        torch.ones(3, 3, requires_grad=True), torch.ones(3, 3, device="meta"),
        torch.ones(3, 64).to_sparse(), scipy.sparse.eye(3, 64, format="csr"),
        np.full((3, 3), np.nan), np.zeros((3, 3)), np.zeros((8, 8)), np.full((3, 64), np.inf),
        np.ma.masked_array(np.ones((8, 8)), np.eye(8)), pd.DataFrame(np.ones((3, 3))),
    ]),
)  # fmt: skip


def _constant(*args, **kwargs):
    return 1.0


def _raises(*args, **kwargs):
    raise ValueError("a mistake in a user's function")


_OBJECTS = st.sampled_from([
    len, np.sin, torch.tanh, _constant, _raises, int, object(), Ellipsis, NotImplemented, range(3),
    datetime.datetime(2020, 1, 1), slice(2), iter([1, 2]), np, Exception("x"), torch.float32,
    GaussianBlur, GaussianBlur(), Inpainting(), HQS(TotalVariation()), GradientDescent(), Siren(),
    PixelGrid(), L2(), MAML(), PoissonNoise(10.0), Adam(), TotalVariation(), Ridge(),
    LinearReconstructor(), FrozenEstimator("x"), FrozenEstimator(Ridge()), torch.nn.ReLU(),
    torch.nn.Conv2d(1, 1, 3, padding=1), np.random.RandomState(0), np.random.default_rng(0),
])  # fmt: skip
_LEAVES = st.one_of(_SCALARS, _ARRAYS, _OBJECTS)


def _containers(children):
    return st.one_of(
        st.lists(children, max_size=3),
        st.lists(children, max_size=3).map(tuple),
        st.dictionaries(st.one_of(_TEXTS, _INTEGERS), children, max_size=2),
        st.frozensets(_INTEGERS, max_size=3),
    )


#: A value of a parameter, of any type.
VALUES = st.one_of(
    _SCALARS,
    _LEAVES,
    _containers(_NUMBERS),
    st.recursive(_LEAVES, _containers, max_leaves=4),
)

# ---------------------------------------------------------------------- arrays


class Lazy:
    """An array-like that is read by indices."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __len__(self):
        return len(self.array)

    def __getitem__(self, indices):
        return self.array[indices]


class Images(torch.utils.data.Dataset):
    """A map-style data set of torch."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        return self.array[index]


def _with(value):
    """Return a change of one entry, in the second image if there is one."""

    def change(x):
        x = np.array(x, dtype=float if np.isrealobj(x) else complex)
        if x.size:
            x.flat[-1] = value
        return x

    return change


def _dask(x):
    import dask.array

    return dask.array.from_array(x, chunks=(2, *x.shape[1:]))


def _xarray(x):
    import xarray

    return xarray.DataArray(x)


def _masked(x):
    mask = np.zeros(x.shape, dtype=bool)
    mask[..., :1] = True
    return np.ma.masked_array(x, mask)


#: Other types of arrays with the same content.
SAME = {
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "longdouble": lambda x: x.astype(np.longdouble),
    "byte-swapped": lambda x: x.astype(">f8"),
    "read-only": lambda x: np.frombuffer(np.ascontiguousarray(x).tobytes()).reshape(x.shape),
    "negative strides": lambda x: x[::-1].copy()[::-1],
    "Fortran order": np.asfortranarray,
    "list of arrays": list,
    "nested list": lambda x: x.tolist(),
    "tuple": tuple,
    "tensor": torch.from_numpy,
    "tensor with gradient": lambda x: torch.from_numpy(x).requires_grad_(),
    "meta tensor": lambda x: torch.from_numpy(x).to("meta"),
    "sparse tensor": lambda x: torch.from_numpy(x).to_sparse(),
    "quantized tensor": lambda x: torch.quantize_per_tensor(
        torch.from_numpy(x).float(), 0.01, 0, torch.quint8
    ),
    "float8 tensor": lambda x: torch.from_numpy(x).to(torch.float8_e4m3fn),
    "list of tensors": lambda x: list(torch.from_numpy(x)),
    "data set": Images,
    "lazy": Lazy,
    "dask": _dask,
    "xarray": _xarray,
    "object": lambda x: x.astype(object),
    "complex": lambda x: x.astype(complex),
}
#: Changes of the content or the shape.
CHANGES = {
    "as it is": lambda x: x,
    "NaN": _with(np.nan),
    "inf": _with(np.inf),
    "-inf": _with(-np.inf),
    "1e300": _with(1e300),
    "1e30": _with(1e30),
    "times 255": lambda x: 255 * x,
    "uint8": lambda x: (255 * x).astype(np.uint8),
    "uint16": lambda x: (65535 * x).astype(np.uint16),
    "int8": lambda x: (100 * x).astype(np.int8),
    "int64": lambda x: (100 * x).astype(np.int64),
    "bool": lambda x: x > 0.5,
    "zeros": np.zeros_like,
    "constant": np.ones_like,
    "negative": lambda x: -x,
    "strings": lambda x: x.astype("U5"),
    "dates": lambda x: (1e9 * x).astype("M8[s]"),
    "imaginary": lambda x: 1j * x,
    "no images": lambda x: x[:0],
    "one image": lambda x: x[:1],
    "without the first axis": lambda x: x[0],
    "one row": lambda x: x[0, 0],
    "one number": lambda x: x[0, 0, 0],
    "channels last": lambda x: x[..., None],
    "channels first": lambda x: x[:, None],
    "colour": lambda x: np.stack([x] * 3, axis=-1),
    "five axes": lambda x: x[..., None, None],
    "flat": lambda x: x.reshape(len(x), -1),
    "no pixels": lambda x: x[:, :0],
    "one pixel": lambda x: x[:, :1, :1],
    "one column": lambda x: x[:, :, :1],
    "larger": lambda x: np.concatenate([x, x], axis=1),
    "transposed": lambda x: x[:, :7].transpose(0, 2, 1),
    "all NaN": lambda x: np.full_like(x, np.nan),
    "masked": _masked,
    "sparse": lambda x: scipy.sparse.csr_array(x.reshape(len(x), -1)),
    "data frame": lambda x: pd.DataFrame(x.reshape(len(x), -1)),
    "of different sizes": lambda x: [x[0], x[1, :7], x[2]],
    "iterator": iter,
    "dictionary": lambda x: {"images": x},
    "text": lambda x: "images.npy",
    "None": lambda x: None,
    "function": lambda x: len,
    "not an array": lambda x: object(),
}
