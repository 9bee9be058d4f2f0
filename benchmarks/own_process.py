"""Run a function in a process of its own, and sample the memory of a process."""

import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path


def in_own_process(function, *args):
    """Return the result of a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


class PeakMemory:
    """Sample the anonymous memory of this process while the body runs."""

    def __enter__(self):
        self.before = self.peak = _anonymous_mb()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._done.set()
        self._thread.join()

    def _sample(self):
        while not self._done.wait(0.01):
            self.peak = max(self.peak, _anonymous_mb())


def _anonymous_mb():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1000
