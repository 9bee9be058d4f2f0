"""Kills of training, and damaged files: what is lost, and what loads wrong.

    python -m benchmarks.faults [--kills N] [--damages N] [--seed N]

*Kills.* A process trains and writes its checkpoint after every step. It is killed (SIGKILL) at a
random time, or as soon as a temporary file shows that it is writing. The next process resumes, and
is killed, too, until training ends. The result must equal that of training without kills to the
last bit.

*Damages.* A file is damaged at a random place in each of its byte ranges: a bit flips; bytes are
set to 0, removed, doubled, reversed or inserted; or the file ends. Then it is read. "refused": an
error of ours that names the file. "same": the content is that of the undamaged file. "wrong":
another content, or an error of another library; a fault. Files that have no checksums of their own
(safetensors and the old format of torch) are read with `sha256=`.
"""

import hashlib
import multiprocessing
import signal
import tempfile
import time
import warnings
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks import record
from benchmarks.command_line import command_line
from skmetainv import MetaInverseSolver, UNetReconstructor
from skmetainv.datasets import load_faces
from skmetainv.denoisers import DnCNN
from skmetainv.io import load, save
from skmetainv.operators import Inpainting, MissingPixels
from skmetainv.representations import Siren
from skmetainv.training import Checkpoint, EarlyStopping

# Its server imports the library once; processes are forked from it at once, and without threads.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["benchmarks.faults"])

_FEW = {"max_epochs": 4, "random_state": 0, "batch_size": 4}


def faces():
    return load_faces()[:12, ::3, ::3].astype(float)


def estimators(path=None):
    """Estimators that train in a second, by name."""
    own = {**_FEW, "checkpoint": None if path is None else Checkpoint(path, minutes=0.0)}
    stopping = EarlyStopping(3, validation_fraction=0.25)
    return {
        "meta": MetaInverseSolver(MissingPixels(), init=Siren(width=8), noise=0.1, **own),
        "stopping": MetaInverseSolver(
            Inpainting(), init=Siren(width=8), early_stopping=stopping, **own
        ),
        "unet": UNetReconstructor(Inpainting(), width=4, depth=1, **own),
        "dncnn": DnCNN(depth=3, width=4, **own),
    }


# ---------------------------------------------------------------------- kills


def _train(name, path):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    estimators(path)[name].fit(faces())


def result(est):
    """Everything that training learned, except times, as a hash."""
    history = {key: values for key, values in est.history_.items() if key != "seconds"}
    return joblib.hash([dict(est.weights_), history, est.n_epochs_])


def kill_until_finished(name, path, rng, seconds):
    """Kill a training again and again; return the numbers of kills, all and during writes."""
    n_kills = n_in_writes = 0
    while True:
        process = _PROCESSES.Process(target=_train, args=(name, path))
        before = _written(path)
        process.start()
        while process.is_alive() and _written(path) == before:  # before its first step
            time.sleep(0.001)
        in_write = bool(rng.integers(2))
        wait_until = time.monotonic() + rng.uniform(0, seconds)
        while process.is_alive() and time.monotonic() < wait_until:
            time.sleep(0.001)
        while process.is_alive() and in_write and not _writes(path):
            pass
        in_write = in_write and _writes(path)
        process.kill()
        process.join()
        if process.exitcode == 0:
            return n_kills, n_in_writes
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"a training of {name} ended with status {process.exitcode}")
        n_kills, n_in_writes = n_kills + 1, n_in_writes + in_write


def _written(path):
    """Return when the file was written."""
    return path.stat().st_mtime_ns if path.exists() else None


def _writes(path):
    """Whether there is a temporary file."""
    return any(path.parent.glob(f".{path.name}.????????????????"))


def kills(n, seed=0, names=None):
    """Kill trainings at least `n` times; return counts, and the names of other results."""
    rng, counts, wrong = np.random.default_rng(seed), Counter(), []
    expected, seconds = {}, {}
    for name in names or estimators():
        began = time.monotonic()
        expected[name] = result(estimators()[name].fit(faces()))
        seconds[name] = time.monotonic() - began
    while counts["kills"] < n:
        for name in expected:
            with tempfile.TemporaryDirectory() as folder:
                path, longest = Path(folder) / f"{name}.ckpt", 2 * seconds[name]
                n_kills, n_in_writes = kill_until_finished(name, path, rng, longest)
                finished = estimators(path)[name].fit(faces())
                left = {file.name for file in Path(folder).iterdir()} - {path.name}
            counts.update({"trainings": 1, "kills": n_kills, "during a write": n_in_writes})
            if result(finished) != expected[name] or left:
                wrong.append(name)
    return dict(counts), wrong


# ---------------------------------------------------------------------- damages


def _state():
    """Return the weights of a small DnCNN under published names, not all equal."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"0": (4, 1, 3, 3), "2": (4, 4, 3, 3), "4": (1, 4, 3, 3)}
    weights = {f"model.{i}.weight": torch.randn(s, generator=generator) for i, s in shapes.items()}
    biases = {f"model.{i}.bias": torch.randn(s[0], generator=generator) for i, s in shapes.items()}
    return weights | biases


def _read_weights(path, sha256=None):
    network = DnCNN(weights=path, sha256=sha256).build((1, 8, 8))
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def _read_estimator(path):
    return load(path).get_params(deep=True), dict(load(path).weights_)


def files(folder):
    """Write a file of each kind; return functions that read it, by its path."""
    folder = Path(folder)
    weights, legacy, plain = folder / "zip.pth", folder / "legacy.pth", folder / "w.safetensors"
    torch.save(_state(), weights)
    torch.save(_state(), legacy, _use_new_zipfile_serialization=False)
    save_file(_state(), plain)
    est = estimators(folder / "run.ckpt")["meta"].fit(faces())
    save(est, folder / "model.skmi")
    denoiser = estimators(folder / "denoiser.ckpt")["dncnn"].set_params(depth=2, width=2)
    denoiser.fit(faces())
    return {
        folder / "run.ckpt": lambda path: result(estimators(path)["meta"].fit(faces())),
        folder / "model.skmi": lambda path: joblib.hash(_read_estimator(path)),
        folder / "denoiser.ckpt": lambda path: joblib.hash(_read_weights(path)),
        weights: lambda path: joblib.hash(_read_weights(path)),
        legacy: partial(_read_checked, hashlib.sha256(legacy.read_bytes()).hexdigest()),
        plain: partial(_read_checked, hashlib.sha256(plain.read_bytes()).hexdigest()),
    }


def _read_checked(sha256, path):
    return joblib.hash(_read_weights(path, sha256))


def damaged(content, place, rng):
    """Return a damaged copy of a file's bytes, and the kind of the damage."""
    kind = rng.choice(["bit", "zeros", "removed", "doubled", "swapped", "end", "inserted"])
    n = int(rng.integers(1, 33))
    before, part, after = content[:place], content[place : place + n], content[place + n :]
    if kind == "bit":
        flipped = bytes([content[place] ^ (1 << int(rng.integers(8)))])
        return before + flipped + content[place + 1 :], kind
    changed = {
        "zeros": before + bytes(len(part)) + after,
        "removed": before + after,
        "doubled": before + part + part + after,
        "swapped": before + part[::-1] + after,
        "end": before,
        "inserted": before + rng.bytes(n) + part + after,
    }
    return changed[kind], kind


def damages(n, seed=0):
    """Damage each file at `n` places, one in each of `n` ranges of bytes; return the outcomes."""
    rng, counts, faults = np.random.default_rng(seed), {}, []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, read in files(folder).items():
            content, expected = path.read_bytes(), read(path)
            outcomes = counts.setdefault(path.name, Counter())
            edges = np.linspace(0, len(content), n + 1).astype(int)
            for start, stop in pairwise(edges):
                place = int(rng.integers(start, max(stop, start + 1)))
                changed, kind = damaged(content, place, rng)
                path.write_bytes(changed)
                outcome, text = _outcome(read, path, expected)
                outcomes[outcome] += 1
                if outcome == "wrong":
                    faults.append([path.name, kind, place, text])
            path.write_bytes(content)
    return {name: dict(outcomes) for name, outcomes in counts.items()}, faults


def _outcome(read, path, expected):
    try:
        found = read(path)
    except ValueError as error:
        return ("refused" if path.name in str(error) else "wrong"), str(error)
    except Exception as error:
        return "wrong", f"{type(error).__name__}: {error}"
    return ("same", "") if found == expected else ("wrong", "other values were read")


def main(argv=None):
    parser = command_line(__doc__, prog="python -m benchmarks.faults")
    parser.add_argument("--kills", type=int, default=100, help="least number of kills")
    parser.add_argument("--damages", type=int, default=400, help="number of damages per file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    n_kills, other_results = kills(options.kills, options.seed)
    print(f"{n_kills}; trainings with other results: {other_results or 'none'}")
    counts, faults = damages(options.damages, options.seed)
    for name, outcomes in counts.items():
        print(f"{name}: {outcomes}")
    print("\n".join(map(str, faults)) or "no damaged file was read wrong")
    results = {"kills": n_kills, "other results": other_results, "damages": counts, "wrong": faults}
    record.save("faults", vars(options), results)


if __name__ == "__main__":
    main()
