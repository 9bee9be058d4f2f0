"""Algorithms 1 and 2 as their users write them with `higher` and `torch.func`."""

import time
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import higher
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from skmetainv.randomness import weights_generator
from skmetainv.representations import Siren
from skmetainv.representations.coordinates import pixel_coordinates


class Sine(nn.Module):
    """The activation of a SIREN."""

    def forward(self, x):
        """Return the sine, with SIREN's frequency."""
        return torch.sin(30.0 * x)


class Network(nn.Module):
    """A SIREN whose image has values in [0, 1]."""

    def __init__(self, shape, width, depth, seed):
        super().__init__()
        self.shape = shape
        self.register_buffer("coordinates", pixel_coordinates(*shape[1:]).float())
        sizes = [2, *[width] * (depth - 1), shape[0]]
        layers = [layer for n, n_out in pairwise(sizes) for layer in (nn.Linear(n, n_out), Sine())]
        self.layers = nn.Sequential(*layers[:-1])
        phi = Siren(width, depth=depth).build(shape)
        initial = phi.initial_weights(weights_generator(seed)).values()
        with torch.no_grad():
            for parameter, weight in zip(self.parameters(), initial, strict=True):
                parameter.copy_(weight)

    def forward(self):
        """Return the image."""
        return (self.layers(self.coordinates).T.reshape(self.shape) + 1) / 2


@dataclass
class Task:
    """What a script needs to know of a problem."""

    network: Network
    f: object
    """The solver: ``f(x, y, mask)``."""
    A: object
    """The forward model: ``A(x, mask)``."""
    x: torch.Tensor
    y: torch.Tensor
    mask: torch.Tensor
    """One mask per image, positive where measured."""
    n_inner: int
    inner_lr: float
    outer_lr: float
    per_parameter: bool

    def inner_loss(self, x, y, mask):
        """Return the mean squared misfit of the measured values."""
        return (self.A(x, mask) - y).square().sum() / (mask > 0).sum()

    def step_sizes(self):
        """Return a learnable step size for each inner step, or for each weight and step."""
        of = [p.shape if self.per_parameter else () for p in self.network.parameters()]
        shapes = of if self.per_parameter else of[:1]
        device = self.x.device
        return [
            [nn.Parameter(torch.full(s, self.inner_lr, device=device)) for s in shapes]
            for _ in range(self.n_inner)
        ]


def timed_steps(step, n, device):
    """Return the seconds of `n` outer steps and the losses before them."""
    seconds, losses = [], []
    for _ in range(n):
        began = time.perf_counter()
        losses.append(float(step()))
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds, losses


class WithHigher:
    """Outer steps by `higher`."""

    def __init__(self, task):
        self.task, self.alpha = task, task.step_sizes()
        parameters = list(task.network.parameters())
        groups = [{"params": [p]} for p in parameters]
        self.inner = torch.optim.SGD(groups if task.per_parameter else parameters, lr=1.0)
        alphas = [a for of_step in self.alpha for a in of_step]
        self.outer = torch.optim.Adam([*parameters, *alphas], lr=task.outer_lr)

    def adapted(self, i, *, learning):
        """Return the result for measurement `i` after all inner steps."""
        t = self.task
        with higher.innerloop_ctx(
            t.network, self.inner, copy_initial_weights=False, track_higher_grads=learning
        ) as (network, optimizer):
            for alpha in self.alpha:
                loss = t.inner_loss(t.f(network(), t.y[i], t.mask[i]), t.y[i], t.mask[i])
                optimizer.step(loss, override={"lr": alpha})
            return t.f(network(), t.y[i], t.mask[i])

    def step(self, batch=None):
        """Make an outer step on images, by default on all; return the loss before it."""
        self.outer.zero_grad()
        total, batch = 0.0, range(len(self.task.x)) if batch is None else batch
        for i in batch:
            x = self.adapted(i, learning=True)
            loss = (x - self.task.x[i]).square().mean() / len(batch)
            loss.backward()
            total += loss.detach()
        self.outer.step()
        return total

    def restore(self):
        """Return the restored images."""
        return torch.stack(
            [self.adapted(i, learning=False).detach() for i in range(len(self.task.y))]
        )


class WithTorchFunc:
    """Outer steps by nested `torch.func.grad`: all images at once on a GPU, else one by one."""

    def __init__(self, task):
        self.task, self.alpha = task, task.step_sizes()
        self.theta = dict(task.network.named_parameters())
        alphas = [a for of_step in self.alpha for a in of_step]
        self.outer = torch.optim.Adam([*self.theta.values(), *alphas], lr=task.outer_lr)
        self.together = task.x.is_cuda

    def _loss(self, theta, alpha, x, y, mask):
        t = self.task

        def result(theta):
            return t.f(functional_call(t.network, theta, ()), y, mask)

        adapted = theta
        for sizes in alpha:
            gradient = grad(lambda w: t.inner_loss(result(w), y, mask))(adapted)
            of_each = sizes * len(gradient) if len(sizes) == 1 else sizes
            adapted = {
                name: adapted[name] - size * g
                for (name, g), size in zip(gradient.items(), of_each, strict=True)
            }
        return (result(adapted) - x).square().mean() / len(t.x)

    def step(self):
        """Make an outer step; return the loss before it."""
        self.outer.zero_grad()
        images = self.task.x, self.task.y, self.task.mask
        if self.together:
            total = vmap(partial(self._loss, self.theta, self.alpha))(*images).sum()
            total.backward()
        else:
            total = 0.0
            for image in zip(*images, strict=True):
                loss = self._loss(self.theta, self.alpha, *image)
                loss.backward()
                total += loss.detach()
        self.outer.step()
        return total
