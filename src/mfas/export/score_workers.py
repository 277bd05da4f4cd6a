"""Shards over processes, or over the workers of a Ray cluster; their scores are the same everywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from mfas import _ray
from mfas._extras import needs
from mfas.data.manifest import Manifest
from mfas.errors import InputError
from mfas.export.scoring import Scored, Scorer, Scoring

Shard = tuple[int, Manifest]
_DIED = "a process that scored was killed (out of memory?): finished shards are kept, the same command goes on"


def score_here(settings: Scoring, shards: Iterable[Shard]) -> Iterator[tuple[int, Scored]]:
    """Score shards one after the other in this process."""
    scorer = Scorer(settings)
    for number, part in shards:
        yield number, scorer.score(part)


def score_in_processes(settings: Scoring, shards: Iterable[Shard], workers: int) -> Iterator[tuple[int, Scored]]:
    """Score shards in ``workers`` processes of one thread each; yields each as it ends.

    The first `InputError` of a shard ends the run after those that were already begun. Raises it, or `InputError` when
    a process is killed.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:

        def submit(part: Manifest) -> Future[Scored | InputError]:
            return pool.submit(_score, settings, part)

        def first(futures: list[Future[Scored | InputError]]) -> Future[Scored | InputError]:
            return next(iter(wait(futures, return_when=FIRST_COMPLETED).done))

        try:
            yield from _windowed(shards, 2 * workers, submit, first, lambda future: future.result())
        except BrokenProcessPool:
            raise InputError(_DIED) from None
        except BaseException:  # a reader that stops, or Ctrl-C: what has not begun is not waited for
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def score_on_ray(
    settings: Scoring, shards: Iterable[Shard], address: str, workers: int
) -> Iterator[tuple[int, Scored]]:
    """Score shards as tasks of Ray; a shard whose worker dies is tried again by another one.

    ``address`` as `mfas._ray.connected` takes it. Model and images must lie under the same paths on every machine; the
    output is written here only. Raises as `score_in_processes`.
    """
    with needs("scoring on a Ray cluster"):
        import ray

    with redirect_stdout(sys.stderr), _ray.connected(ray, address, workers):  # standard output is for the result
        run = ray.remote(num_cpus=1, max_retries=_ray.RETRIES)(_score)
        shared = ray.put(settings)
        limit = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

        def first(waiting: list[Any]) -> Any:
            return ray.wait(waiting, num_returns=1)[0][0]

        try:
            yield from _windowed(shards, limit, lambda part: run.remote(shared, part), first, ray.get)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
            raise InputError(_DIED) from None
        except ray.exceptions.RayTaskError:  # a fault of ours: its traceback is wanted
            raise
        except ray.exceptions.RayError as reason:
            told = str(reason).strip().splitlines()
            named = type(reason).__name__
            raise InputError(
                f"expected the cluster to score every shard, got {named}: {told[-1] if told else ''}"
            ) from None


def _windowed(
    shards: Iterable[Shard],
    limit: int,
    submit: Callable[[Manifest], Any],
    first: Callable[[list[Any]], Any],
    result: Callable[[Any], Scored | InputError],
) -> Iterator[tuple[int, Scored]]:
    """At most ``limit`` shards under way at once, so that the manifest is never held whole."""
    waiting: dict[Any, int] = {}
    failed: dict[int, InputError] = {}

    def collect() -> Iterator[tuple[int, Scored]]:
        done = first(list(waiting))
        number = waiting.pop(done)
        found = result(done)
        if isinstance(found, InputError):
            failed[number] = found
        else:
            yield number, found

    for number, part in shards:
        waiting[submit(part)] = number
        if len(waiting) >= limit:
            yield from collect()
        if failed:
            break
    while waiting:
        yield from collect()
    if failed:
        raise failed[min(failed)]


_HERE: dict[Scoring, Scorer] = {}


def _score(settings: Scoring, part: Manifest) -> Scored | InputError:
    """One shard in this worker, which keeps its session for the next one."""
    try:
        if settings not in _HERE:
            _HERE.clear()
            _HERE[settings] = Scorer(settings)
        return _HERE[settings].score(part)
    except InputError as reason:
        return reason


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
