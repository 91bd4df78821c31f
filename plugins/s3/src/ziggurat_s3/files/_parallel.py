"""Many files at once: in parallel, each reported, and given up when the service fails them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from attrs import define, field, frozen

from ziggurat.errors import TierError, TierUnavailable, ZigguratError
from ziggurat_s3.files._records import (
    DirectoryReport,
    FileCallback,
    FileFailure,
    FileResult,
    ObjectChanged,
    ProgressCallback,
    TransferIncomplete,
    address_of,
)

__all__ = ["Job", "Many"]

T = TypeVar("T")

_GIVE_UP = 10  # files in a row that the service failed, without one that it did


@frozen
class Job:
    """One file to do.

    Attributes:
        key: Of the object.
        local_path: On this machine, None when there is none.
        work: Does it.
    """

    key: str
    local_path: Path | None
    work: Callable[[], FileResult]


class _Stopped(Exception):
    """A job ends here, because all are to end."""


@define
class Many:
    """Does jobs and gathers what became of them.

    Attributes:
        op: The operation, for its error.
        bucket: That the jobs are about.
        prefix: Of their keys.
        workers: Jobs at once.
        callback: Told of each result and failure as it comes.
    """

    op: str
    bucket: str
    prefix: str
    workers: int
    callback: FileCallback | None = None
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _broken: BaseException | None = field(default=None, init=False)  # what a callback raised in a job
    _ending: bool = field(default=False, init=False)

    def progress(self, callback: ProgressCallback | None) -> ProgressCallback:
        """What jobs say their bytes to: it passes them on one call at a time, and stops jobs that are to end.

        So an interrupt, or a callback that raises, does not wait for large files that have begun.
        """

        def told(count: int) -> None:
            with self._lock:
                if self._ending or self._broken is not None:
                    raise _Stopped
                try:
                    if callback is not None:
                        callback(count)
                except BaseException as error:
                    self._broken = error
                    raise

        return told

    def run(self, jobs: Iterable[Job]) -> DirectoryReport:
        """Do all jobs; a failure of one leaves the others their turn.

        Returns:
            What was done; nothing failed.

        Raises:
            TransferIncomplete: Something failed; the error has the report.
            TierError: Nothing could be begun.
            Exception: The callback raised; what had begun was ended.
        """
        results: list[FileResult] = []
        failures: list[FileFailure] = []
        running: dict[Future[FileResult], Job] = {}
        failed_in_a_row = 0
        last: TierError | None = None
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="s3-files")

        def settle(done: Iterable[Future[FileResult]]) -> None:
            nonlocal failed_in_a_row, last
            for future in done:
                job = running.pop(future)
                if self._broken is not None:
                    raise self._broken
                error = future.exception()
                if error is None:
                    failed_in_a_row = 0
                    results.append(future.result())
                    self.tell(results[-1])
                    continue
                if not isinstance(error, ZigguratError | OSError):
                    raise error
                if isinstance(error, TierError) and _is_of_the_service(error):
                    failed_in_a_row, last = failed_in_a_row + 1, error
                failures.append(FileFailure(self.bucket, job.key, job.local_path, error))
                self.tell(failures[-1])

        try:
            for job in self.listed(jobs, lambda: bool(results or failures or running), failures):
                if failed_in_a_row >= _GIVE_UP and last is not None:
                    failures.append(self._untried(job, last))
                    self.tell(failures[-1])
                    continue
                running[pool.submit(job.work)] = job
                if len(running) >= 2 * self.workers:
                    settle(wait(running, return_when=FIRST_COMPLETED).done)
            while running:
                settle(wait(running, return_when=FIRST_COMPLETED).done)
        finally:
            self._ending = True
            pool.shutdown(wait=True, cancel_futures=True)
        return self.ended(results, failures)

    def listed(
        self, rows: Iterable[T], begun: Callable[[], bool], failures: list[FileFailure]
    ) -> Iterator[T]:
        """What is to be done, as far as it can be listed.

        Args:
            rows: What is listed while it is done.
            begun: Whether anything was begun; before, an error passes.
            failures: Gets the error that ends the listing early, about the directory itself.
        """
        source = iter(rows)
        while True:
            try:
                row = next(source)
            except StopIteration:
                return
            except (ZigguratError, OSError) as error:
                if not begun():
                    raise
                failures.append(FileFailure(self.bucket, self.prefix, None, error))
                self.tell(failures[-1])
                return
            yield row

    def ended(self, results: Sequence[FileResult], failures: Sequence[FileFailure]) -> DirectoryReport:
        """The report.

        Raises:
            TransferIncomplete: Something failed; the error has the report.
        """
        report = DirectoryReport(tuple(results), tuple(failures))
        if failures:
            raise self._incomplete(report)
        return report

    def tell(self, one: FileResult | FileFailure) -> None:
        """Tell the callback."""
        if self.callback is not None:
            self.callback(one)

    def _untried(self, job: Job, last: TierError) -> FileFailure:
        error = TierUnavailable(
            f"{address_of(self.bucket, job.key)}: not tried: {_GIVE_UP} in a row failed: {last.message}",
            op=self.op,
            key=job.key,
            retryable=last.retryable,
        )
        return FileFailure(self.bucket, job.key, job.local_path, error)

    def _incomplete(self, report: DirectoryReport) -> TransferIncomplete:
        first = report.failures[0]
        failed, done = len(report.failures), len(report.results)
        why = first.error.message if isinstance(first.error, ZigguratError) else str(first.error)
        where = address_of(self.bucket, self.prefix)
        return TransferIncomplete(
            f"{where}: {failed} of {failed + done} files failed, the first: {why}",
            report=report,
            op=self.op,
            key=self.prefix,
        )


def _is_of_the_service(error: TierError) -> bool:
    """Whether the next file will probably fail in the same way."""
    return error.retryable and not isinstance(error, ObjectChanged)
