"""All layers of a SIREN as one function of autograd, with manual derivatives.

Autograd makes many passes over the hidden units of a SIREN, and stores the results of most of them.
Here, all layers are one `torch.autograd.Function`. Its derivative is a second such function, and
the derivative of that is a third. The matrix products are the same. All other operations run on
small parts of the hidden units, which stay in the processor's cache, and only sines, cosines and
gradients are stored.

All values have one row per pixel. A hidden layer computes ``z = s (h W' + b)``, with ``s =
omega_0``, and then its sines and cosines, ``h_next = sin(z)`` and ``c = cos(z)``. In the last layer
``s`` is 1 and ``z`` is the result. Backward, with the gradient ``d`` with respect to ``z``::

    dW = s d' h,    db = s sum d,    g = s d W

``g`` is the gradient with respect to ``h``, and ``d`` of the layer before is ``c g`` with its
cosines ``c``. These are the first derivatives. For their own derivatives, let ``V`` and ``v`` be
gradients with respect to ``dW`` and ``db``. From the first layer to the last, beginning with ``t =
0``, the gradient with respect to ``d`` is ::

    u = s (t W' + h V' + v),    t_next = c u

The gradient with respect to ``W`` is ``s d' t``, to ``h`` it is ``s d V``, and to the layer's
cosines ``u g_next``. The last two reach the weights through the layers before: if gradients ``p``
with respect to sines and ``q`` with respect to cosines are added, ``d`` of a layer is
``c (g_next + p) - h_next q``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch

# Number of values of a layer that a CPU computes together: 2 MiB in single precision.
_AT_ONCE = 2**19

# One tensor for each layer, or None where there is none.
_Tensors = Sequence[torch.Tensor]
_Some = Sequence[torch.Tensor | None]


def sine_layers(
    inputs: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    omega_0: float,
    dtype: torch.dtype | None = None,
    counts: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return the values of a network with sine activations, ``h <- sin(omega_0 (W h + b))``.

    First and second derivatives are exact. Third derivatives raise an error.

    Parameters
    ----------
    inputs : tensor of shape (1 or batch, n_pixels, n_inputs)
        The inputs of the first layer, the same for all images or one set per image. They get no
        gradient.
    weights : sequence of tensor of shape (1 or batch, n_out, n)
        The matrix of each layer, shared by all images or one per image.
    biases : sequence of tensor of shape (1 or batch, n_out)
        The biases of each layer.
    omega_0 : float
        Frequency of the sines.
    dtype : torch.dtype, default=None
        The type of the hidden units and of the factors of products, for mixed precision. None is
        that of the parameters. The values of the first and the last layer are computed in the type
        of the parameters. Gradients of parameters have their type, too: sums over up to 2^19
        hidden values are rounded to `dtype`, and then added in the type of the parameters.
    counts : sequence of int, default=None
        The number of pixels of each image, if inputs are one set per image; the inputs after them
        are padding. The values of padding are undefined and must get no gradient. None is
        `n_pixels` for all. A GPU computes the padding, too: one product of all images is faster
        there than one product for each.

    Returns
    -------
    values : tensor of shape (batch, n_pixels, n_out)
        The values of the last layer, which is linear.
    """
    if counts is not None and (len(set(counts)) == 1 or not inputs.is_cpu):
        counts = None  # no padding, or all is computed
    setting = _Setting(omega_0, weights[0].dtype if dtype is None else dtype, counts)
    parameters = *weights, *biases
    if torch.is_grad_enabled() and any(p.requires_grad for p in parameters):
        values: torch.Tensor = _Values.apply(setting, inputs, *parameters)[0]
        return values
    return _Network(setting, inputs, weights, biases).values()


class _Setting(NamedTuple):
    """The arguments of `sine_layers` that are no tensors."""

    omega_0: float
    dtype: torch.dtype
    counts: Sequence[int] | None


class _Part(NamedTuple):
    """Some pixels of some images."""

    images: slice
    pixels: slice

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Return this part of values with the axes images, pixels and units."""
        return values[self.images, self.pixels]

    def of_any(self, values: torch.Tensor | None) -> torch.Tensor | None:
        """Return this part of values, or None if there are none."""
        return None if values is None else self.of(values)

    def rows(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return the parameters of these images, or those that all images share."""
        return parameters if len(parameters) == 1 else parameters[self.images]


class _Network:
    """The layers, with the names of the module's docstring.

    Parameters
    ----------
    setting : _Setting
        The frequency, the type of the hidden units and the numbers of pixels.
    inputs, weights, biases
        See `sine_layers`.
    sines, cosines : sequence of tensor of shape (batch, n_pixels, n), default=()
        ``h`` and ``c`` of all hidden layers, for derivatives.
    """

    def __init__(
        self,
        setting: _Setting,
        inputs: torch.Tensor,
        weights: Sequence[torch.Tensor],
        biases: Sequence[torch.Tensor],
        sines: Sequence[torch.Tensor] = (),
        cosines: Sequence[torch.Tensor] = (),
    ):
        self.inputs, self.biases = inputs, biases
        self.sines, self.cosines, self.last = sines, cosines, len(weights) - 1
        self.dtype, self.scales = setting.dtype, [setting.omega_0] * self.last + [1.0]
        self.counts, self.n_pixels = setting.counts, inputs.shape[1]
        self.batch = max(len(p) for p in (inputs, *weights, *biases))
        self.parameters = *weights, *biases
        self.weights = self._factors(weights)

    def empty(self, layer: int) -> torch.Tensor:
        """Return uninitialised values of the shape of a layer's ``z``; with padding, zeros."""
        shape = self.batch, self.n_pixels, self.weights[layer].shape[1]
        dtype = self.inputs.dtype if layer == self.last else self.dtype
        new = self.inputs.new_empty if self.counts is None else self.inputs.new_zeros
        return new(shape, dtype=dtype)

    def empty_hidden(self) -> list[torch.Tensor]:
        """Return `empty` values of all hidden layers."""
        return [self.empty(layer) for layer in range(self.last)]

    def parts(self) -> Iterator[_Part]:
        """Yield the parts that are computed together: some images, or some pixels of one image.

        If numbers of pixels differ, no part has two images. The results of an image then do not
        depend on the padding, that is, on other images.
        """
        width = max(W.shape[1] for W in self.weights)
        together = max(1, _AT_ONCE // width) if self.inputs.is_cpu else self.batch * self.n_pixels
        n_images = max(1, together // self.n_pixels) if self.counts is None else 1
        for image in range(0, self.batch, n_images):
            images = slice(image, image + n_images)
            n = self.n_pixels if self.counts is None else self.counts[image]
            for pixel in range(0, n, together):
                yield _Part(images, slice(pixel, min(pixel + together, n)))

    def taken(self, layer: int, part: _Part) -> torch.Tensor:
        """Return ``h`` of a layer, for a part of the pixels."""
        if layer:
            return part.of(self.sines[layer - 1])
        n_images = len(range(self.batch)[part.images])
        return part.rows(self.inputs)[:, part.pixels].expand(n_images, -1, -1)

    def values(self) -> torch.Tensor:
        """Return the values of the last layer; write `sines` and `cosines` if they are given."""
        values = self.empty(self.last)
        for part in self.parts():
            h = self.taken(0, part)
            for layer, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
                if layer == self.last:
                    self._forward(layer, h, W, b, part, part.of(values))
                    break
                c = part.of(self.cosines[layer]) if self.cosines else None
                z = self._forward(layer, h, W, b, part, c if layer else None)
                h = torch.sin(z, out=part.of(self.sines[layer]) if self.sines else z)
                if c is not None:
                    torch.cos(z, out=c)
        return values

    def first(
        self,
        m: torch.Tensor,
        of_sines: _Some,
        of_cosines: _Some,
        needed: Sequence[bool],
        keep: bool,
    ) -> tuple[_Some, _Tensors]:
        """Return the gradients ``dW``, then ``db``, and if `keep`, ``g`` of all hidden layers.

        Parameters
        ----------
        m : tensor of shape (batch, n_pixels, n_out)
            The gradient with respect to the values.
        of_sines, of_cosines : sequence of tensor or None
            Further gradients, with respect to sines and cosines.
        needed : sequence of bool
            Which gradients are computed. The others are None.
        keep : bool
            Whether ``g`` is kept. Layers before the first layer with a needed gradient get
            ``g = 0``.
        """
        parameters = zip(self.parameters, needed, strict=True)
        found = [p.new_zeros(p.shape) if need else None for p, need in parameters]
        dW, db = found[: self.last + 1], found[self.last + 1 :]
        lowest = min(k % len(dW) for k, need in enumerate(needed) if need)
        kept = self.empty_hidden() if keep else []
        for unused in kept[:lowest]:
            unused.zero_()
        for part in self.parts():
            d = part.of(m).to(self.dtype)
            for layer in range(self.last, lowest - 1, -1):
                h = self.taken(layer, part)
                self._add_products(dW[layer], layer, d, h, part)
                self._add_sums(db[layer], layer, d, part)
                if layer == lowest:
                    break
                of_h, of_c = part.of_any(of_sines[layer - 1]), part.of_any(of_cosines[layer - 1])
                g = part.of(kept[layer - 1]) if keep else None
                W, c = self.weights[layer], part.of(self.cosines[layer - 1])
                d = c * self._backward(layer, d, W, part, of_h, g)
                if of_c is not None:
                    d.addcmul_(h, of_c, value=-1)
        return found, kept

    def second(
        self, m: torch.Tensor, g: _Tensors, V: _Some, v: _Some
    ) -> tuple[torch.Tensor, _Some, _Some, _Some]:
        """Return the gradients with respect to `m`, the matrices, the sines and the cosines.

        Parameters
        ----------
        m, g
            An argument and a result of `first`.
        V, v : sequence of tensor or None
            Gradients with respect to its results ``dW`` and ``db``.
        """
        of_m, of_cosines = self.empty(self.last), self.empty_hidden()
        of_W = [W.new_zeros(W.shape) for W in self.parameters[: self.last + 1]]
        V = self._factors(V)
        of_sines = [None if up is None else self.empty(k) for k, up in enumerate(V[1:])]
        for part in self.parts():
            t = self.taken(0, part)  # a placeholder: the first layer has t = 0
            for layer, W in enumerate(self.weights):
                hidden, h = layer < self.last, self.taken(layer, part)
                of_c = part.of(of_cosines[layer]) if hidden else part.of(of_m)
                u = self._forward(layer, h, V[layer], v[layer], part, of_c)
                if layer:
                    d = part.of(g[layer]) * part.of(self.cosines[layer]) if hidden else part.of(m)
                    d, W_t = d.to(self.dtype), part.rows(W).mT.expand(len(t), -1, -1)
                    u.baddbmm_(t.to(W.dtype), W_t, alpha=self.scales[layer])
                    self._add_products(of_W[layer], layer, d, t, part)
                    up, of_h = V[layer], part.of_any(of_sines[layer - 1])
                    if up is not None:
                        self._backward(layer, d, up, part, None, of_h)
                if hidden:
                    t = u * part.of(self.cosines[layer])
                    u.mul_(part.of(g[layer]))
        return of_m, of_W, of_sines, of_cosines

    def _factors(self, matrices: _Some) -> list[Any]:
        """Return the matrices of hidden layers in the type of their units.

        The first and the last layer have few inputs or outputs. Their values keep the precision of
        the parameters, because sines of large ``z`` and images need it.
        """
        hidden = range(1, self.last)
        return [
            W.to(self.dtype) if W is not None and layer in hidden else W
            for layer, W in enumerate(matrices)
        ]

    def _forward(
        self,
        layer: int,
        h: torch.Tensor,
        W: torch.Tensor | None,
        b: torch.Tensor | None,
        part: _Part,
        out: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return ``s (h W' + b)``, in `out` or in the type of the layer's matrix; None is 0."""
        scale = self.scales[layer]
        dtype = self.weights[layer].dtype
        b = h.new_zeros(1, dtype=dtype) if b is None else part.rows(b).unsqueeze(1).to(dtype)
        if W is None and out is not None:
            return out.copy_((scale * b).expand_as(out))
        assert W is not None
        W = part.rows(W).mT.expand(len(h), -1, -1)
        in_place = out if out is not None and out.dtype == dtype else None
        z = torch.baddbmm(b, h.to(dtype), W, beta=scale, alpha=scale, out=in_place)
        return z if out is None or out is in_place else out.copy_(z)

    def _backward(
        self,
        layer: int,
        d: torch.Tensor,
        W: torch.Tensor,
        part: _Part,
        add: torch.Tensor | None,
        out: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return ``s d W``, plus `add`."""
        W = part.rows(W).to(d.dtype).expand(len(d), -1, -1)
        start, beta = (d.new_zeros(1), 0) if add is None else (add, 1)
        return torch.baddbmm(start, d, W, beta=beta, alpha=self.scales[layer], out=out)

    def _add_products(
        self, total: torch.Tensor | None, layer: int, d: torch.Tensor, h: torch.Tensor, part: _Part
    ) -> None:
        """Add ``s d' h`` to the gradient of a matrix, unless that is None."""
        if total is None:
            return
        total, h = part.rows(total), h.to(d.dtype)
        if len(total) == 1:
            d, h = d.flatten(0, 1)[None], h.flatten(0, 1)[None]
        if total.dtype == d.dtype:
            total.baddbmm_(d.mT, h, alpha=self.scales[layer])
        else:
            # Faster than `bmm`, which copies the transposed factor.
            products = torch.baddbmm(d.new_zeros(1), d.mT, h, beta=0)
            total.add_(products, alpha=self.scales[layer])

    def _add_sums(
        self, total: torch.Tensor | None, layer: int, d: torch.Tensor, part: _Part
    ) -> None:
        """Add ``s sum d`` to the gradient of biases, unless that is None."""
        if total is None:
            return
        total = part.rows(total)
        sums = d.sum((0, 1) if len(total) == 1 else 1)
        total.add_(sums, alpha=self.scales[layer])


class _Values(torch.autograd.Function):
    """The values, and as further outputs the sines and cosines of the hidden layers.

    Second derivatives need gradients with respect to sines and cosines. Autograd passes them to
    `backward`, where one pass propagates them together with the gradient of the values. All
    parameters that require a gradient get one, even if only some are asked for.
    """

    @staticmethod
    def forward(
        ctx: Any, setting: _Setting, inputs: torch.Tensor, *parameters: torch.Tensor
    ) -> Any:
        n = len(parameters) // 2
        batch, tensors = max(len(p) for p in (inputs, *parameters)), [inputs, *parameters]
        # Before the first inner step, all images have the same weights, expanded along the batch.
        same = setting.counts is None and all(len(p) == 1 or p.stride(0) == 0 for p in tensors)
        own_inputs, *own = [p[:1] for p in tensors] if same else tensors
        weights, biases = _cut(own, n, n)
        empty = _Network(setting, own_inputs, weights, biases).empty_hidden
        network = _Network(setting, own_inputs, weights, biases, empty(), empty())
        results = network.values(), *network.sines, *network.cosines
        values, *hidden = [x.expand(batch, -1, -1) for x in results] if same else results
        ctx.setting = setting
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(inputs, *parameters, *hidden)
        return values, *hidden

    @staticmethod
    def backward(ctx: Any, m: torch.Tensor | None, *of_hidden: torch.Tensor | None) -> Any:
        inputs, *tensors = ctx.saved_tensors
        needed, keep = ctx.needs_input_grad[2:], torch.is_grad_enabled()
        if m is None:
            n = len(needed) // 2
            network = _Network(ctx.setting, inputs, *_cut(tensors, n, n))
            m = torch.zeros_like(network.empty(network.last))
        return None, None, *_First.apply(ctx.setting, needed, keep, inputs, m, *of_hidden, *tensors)


class _First(torch.autograd.Function):
    """The derivative of `_Values`."""

    @staticmethod
    def forward(
        ctx: Any,
        setting: _Setting,
        needed: tuple[bool, ...],
        keep: bool,
        inputs: torch.Tensor,
        m: torch.Tensor,
        *tensors: Any,
    ) -> Any:
        n = len(needed) // 2
        of_sines, of_cosines, *layers = _cut(tensors, n - 1, n - 1, n, n, n - 1, n - 1)
        network = _Network(setting, inputs, *layers)
        found, g = network.first(m, of_sines, of_cosines, needed, keep)
        if keep:
            ctx.setting = setting
            ctx.is_second = any(x is not None for x in (*of_sines, *of_cosines))
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(inputs, m, *g, *tensors[2 * n - 2 :])
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *directions: torch.Tensor | None) -> Any:
        if ctx.is_second:
            raise RuntimeError(_THIRD)
        if all(direction is None for direction in directions):
            return (None,) * len(ctx.needs_input_grad)
        n = len(directions) // 2
        of_m, *others = _Second.apply(ctx.setting, n, *ctx.saved_tensors, *directions)
        return None, None, None, None, of_m, *[None] * (2 * n - 2), *others


class _Second(torch.autograd.Function):
    """The derivative of `_First`."""

    @staticmethod
    def forward(
        ctx: Any, setting: _Setting, n: int, inputs: torch.Tensor, m: torch.Tensor, *tensors: Any
    ) -> Any:
        g, *layers, V, v = _cut(tensors, n - 1, n, n, n - 1, n - 1, n, n)
        network = _Network(setting, inputs, *layers)
        of_m, of_W, of_sines, of_cosines = network.second(m, g, V, v)
        return of_m, *of_W, *[None] * n, *of_sines, *of_cosines

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise RuntimeError(_THIRD)


_THIRD = (
    "A SIREN has first and second derivatives only, but a third one was requested. Differentiate "
    "twice at most."
)


def _cut(tensors: Sequence[Any], *lengths: int) -> list[list[Any]]:
    """Cut a sequence into pieces of these lengths."""
    remaining = iter(tensors)
    return [list(islice(remaining, length)) for length in lengths]
