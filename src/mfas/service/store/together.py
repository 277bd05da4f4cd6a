"""Writing together: threads that come while another one writes are written with the next transaction, all at once.

A transaction costs a wait for the disk, whether it holds one decision or fifty.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

JobT = TypeVar("JobT")
DoneT = TypeVar("DoneT")


class _Turn(Generic[JobT, DoneT]):
    """One thread's job, and what came of it."""

    def __init__(self, job: JobT) -> None:
        self.job = job
        self.done: DoneT | None = None
        self.error: BaseException | None = None
        self.over = False


class Together(Generic[JobT, DoneT]):
    """Calls ``write`` with the jobs of all threads that wait, at most ``most`` at a time.

    ``write`` is one transaction: it does all of its jobs or, raising, none. Then each of them is tried alone, so that a
    job fails for its own fault only.
    """

    def __init__(self, write: Callable[[Sequence[JobT]], Sequence[DoneT]], most: int = 64) -> None:
        self._write = write
        self._most = most
        self._waiting: list[_Turn[JobT, DoneT]] = []
        self._list = threading.Lock()
        self._writing = threading.Lock()

    def do(self, job: JobT) -> DoneT:
        """Have ``job`` done by this thread or another one; returns or raises once it is over."""
        turn: _Turn[JobT, DoneT] = _Turn(job)
        with self._list:
            self._waiting.append(turn)
        while not turn.over:
            with self._writing:
                if not turn.over:
                    self._round()
        if turn.error is not None:
            raise turn.error
        assert turn.done is not None
        return turn.done

    def _round(self) -> None:
        with self._list:
            turns, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            self._settle(turns)
        except Exception as error:
            if len(turns) == 1:
                turns[0].error = error
                return
            for turn in turns:
                try:
                    self._settle([turn])
                except Exception as own:
                    turn.error = own
        except BaseException as end:  # this thread is being stopped: the others must not wait for it
            for turn in turns:
                turn.error = end
            raise
        finally:
            for turn in turns:
                turn.over = True

    def _settle(self, turns: Sequence[_Turn[JobT, DoneT]]) -> None:
        done = self._write([turn.job for turn in turns])
        for turn, own in zip(turns, done, strict=True):
            turn.done = own
