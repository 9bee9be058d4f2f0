"""An optimiser's state as NumPy arrays, so that training can go on after a round trip to disk."""

import numpy as np
import torch


def state_to_arrays(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Return copies of the optimiser's running averages, named ``<parameter>.<average>``."""
    return {
        f"{index}.{name}": torch.as_tensor(value).cpu().numpy().copy()
        for index, averages in optimizer.state_dict()["state"].items()
        for name, value in averages.items()
    }


def load_arrays(optimizer: torch.optim.Optimizer, arrays: dict[str, np.ndarray]) -> None:
    """Take up the state that `state_to_arrays` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = torch.tensor(array)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
