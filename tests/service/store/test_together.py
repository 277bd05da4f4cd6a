"""Threads that write together share a transaction, and not each other's faults."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from mfas.service.store.together import Together


class Writer:
    """Holds the first transaction until told, and refuses any that has a negative job."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.go = threading.Event()
        self.begun = threading.Event()

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        self.calls.append(list(jobs))
        self.begun.set()
        assert self.go.wait(10)
        if min(jobs) < 0:
            raise ValueError(min(jobs))
        return [job * 10 for job in jobs]


def results(writer: Writer, jobs: Sequence[int], most: int = 64) -> dict[int, object]:
    """What came of a job 1 that is being written, and of ``jobs`` that come meanwhile."""
    together: Together[int, int] = Together(writer, most)
    found: dict[int, object] = {}

    def work(job: int) -> None:
        try:
            found[job] = together.do(job)
        except ValueError as error:
            found[job] = error

    threads = [threading.Thread(target=work, args=(job,)) for job in (1, *jobs)]
    threads[0].start()
    assert writer.begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(together._waiting) < len(jobs):
        threading.Event().wait(0.001)
    writer.go.set()
    for thread in threads:
        thread.join(10)
    return found


def test_those_who_come_meanwhile_share_the_next_transaction() -> None:
    writer = Writer()
    assert results(writer, [2, 3, 4]) == {1: 10, 2: 20, 3: 30, 4: 40}
    assert [sorted(call) for call in writer.calls] == [[1], [2, 3, 4]]


def test_a_job_fails_for_its_own_fault_only() -> None:
    found = results(Writer(), [2, -3, 4])
    assert (found[2], found[4]) == (20, 40)
    assert isinstance(found[-3], ValueError)


def test_a_transaction_has_its_limit() -> None:
    writer = Writer()
    assert len(results(writer, range(2, 9), most=3)) == 8
    assert max(map(len, writer.calls)) == 3


def test_a_thread_that_is_stopped_leaves_nobody_waiting() -> None:
    def stop(jobs: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    together: Together[int, int] = Together(stop)
    with pytest.raises(KeyboardInterrupt):
        together.do(1)
    with pytest.raises(KeyboardInterrupt):
        together.do(2)
