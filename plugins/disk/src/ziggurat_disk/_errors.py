"""The one place where what the disk says becomes an error of the contract."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from ziggurat.errors import TierDenied, TierError, TierFull, TierUnavailable

__all__ = ["Translated", "gone"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESTALE}
_BUSY = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR}


def gone(folder: str) -> TierUnavailable:
    """The error for a medium that was there, or must be, and is not."""
    return TierUnavailable(
        f"no Ziggurat medium at {folder}: mount the disk, or correct the tier's path", retryable=True
    )


class Translated:
    """Context manager, usable by many threads at once: raises a `TierError` for what the disk raises.

    Nothing that the content of a put raises may pass through it: that is not the tier's fault.

    Args:
        folder: The tier's folder, named in every message.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (told := self.tell(error)) is not None:
            raise told from error

    def tell(self, error: BaseException) -> TierError | None:
        """Give the error of the contract, or None for what is not the disk's to explain."""
        if isinstance(error, TierError):
            return None
        if isinstance(error, OSError):
            return self._system(error)
        if type(error) is RuntimeError:  # a Database that is closed, or was opened before a fork
            return TierUnavailable(f"{error}; open the store again")
        if isinstance(error, UnicodeDecodeError):  # a key or a message in a database that is no text
            return self.damaged()
        return self._sqlite(error)

    def _system(self, error: OSError) -> TierError:
        what, where = error.strerror or str(error), error.filename or self._folder
        if error.errno in _FULL:
            return self._full(what)
        if error.errno in _DENIED:
            return self._denied(what, where)
        if error.errno in _MISSING:
            return TierUnavailable(
                f"{where}: {what}: mount the disk, or correct the tier's path", retryable=True
            )
        if error.errno in _BUSY:
            return TierUnavailable(f"{where}: {what}: try again with fewer open files", retryable=True)
        return TierUnavailable(f"{where}: {what}: check the disk and the system's log")

    def _sqlite(self, error: BaseException) -> TierError | None:
        import apsw

        if not isinstance(error, apsw.Error):
            return None
        what = f"{self._folder}/small.db: {error}"
        if isinstance(error, apsw.FullError):
            return self._full(str(error))
        if isinstance(error, (apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError)):
            return self._denied(str(error), self._folder)
        if isinstance(error, apsw.CantOpenError) and not os.access(self._folder, os.W_OK | os.X_OK):
            if os.path.isdir(self._folder):
                return self._denied(str(error), self._folder)
            return gone(self._folder)
        if isinstance(error, (apsw.BusyError, apsw.LockedError)):
            return TierUnavailable(f"{what}: another process holds it; try again", retryable=True)
        if isinstance(error, (apsw.CorruptError, apsw.NotADBError, apsw.SQLError)):
            return TierUnavailable(
                f"{what}: the file is damaged; restore it, or empty the folder if it is a cache"
            )
        if isinstance(
            error, (apsw.ConnectionClosedError, apsw.CursorClosedError, apsw.ThreadingViolationError)
        ):
            return TierUnavailable(f"{what}: it was closed; open the store again")
        return TierUnavailable(f"{what}: check the disk and the system's log")

    def damaged(self, what: str = "not what was written") -> TierUnavailable:
        """The error for a database that cannot be what this backend left."""
        path = f"{self._folder}/small.db"
        return TierUnavailable(
            f"{path}: {what}: it is damaged; restore it, or empty the folder if it is a cache"
        )

    def _full(self, what: str) -> TierFull:
        return TierFull(f"no room in {self._folder} ({what}): free space there, or lower the tier's capacity")

    def _denied(self, what: str, where: str) -> TierDenied:
        return TierDenied(f"{where}: {what}: let this user write there, or mount it read-write")
