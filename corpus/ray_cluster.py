"""A Ray cluster for as long as a command needs it: the one that RAY_ADDRESS names, or one on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from corpus.errors import EntropylawError


@contextlib.contextmanager
def connect_ray(workers: int) -> Iterator[None]:
    """The cluster with a core for each of so many workers, until the block ends. One that was connected stays so.

    Raises EntropylawError when ray is not installed, and for a cluster that cannot be used or has fewer cores.
    """
    try:
        import ray
    except ImportError:
        raise EntropylawError("engine ray is not installed; run `pip install 'entropylaw[ray]'`") from None
    is_ours = not ray.is_initialized()
    if is_ours:
        _initialise(workers)
    try:
        # Ray would wait for the missing cores without a word.
        cores = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        if cores < workers:
            raise EntropylawError(
                f"{workers} workers need a core each, and the Ray cluster has {cores}; use fewer workers or add nodes"
            )
        yield
    finally:
        if is_ours:
            ray.shutdown()


def _initialise(workers: int) -> None:
    import ray

    address = os.environ.get("RAY_ADDRESS")
    # "local" starts a cluster of its own even where another one runs on this machine.
    local: dict[str, Any] = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **({} if address else local))
    except (ValueError, RuntimeError, OSError, ray.exceptions.RayError) as error:
        cause = str(error).partition("\n")[0]
        raise EntropylawError(f"Ray cluster at {address or 'this machine'}: cannot be used: {cause}") from None
