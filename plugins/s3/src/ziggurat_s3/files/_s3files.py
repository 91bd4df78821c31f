"""`S3Files`: what people do with files on S3, as one object with one method for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ziggurat.backend import Timeouts
from ziggurat.errors import Unsupported
from ziggurat_s3._connection import ConnectionOptions
from ziggurat_s3._options import DAY, Checksum
from ziggurat_s3.files import (
    _buckets,
    _directory_changes,
    _directory_transfers,
    _listing,
    _single_files,
    _unfinished,
)
from ziggurat_s3.files._keys import directory_prefix
from ziggurat_s3.files._parallel import Many
from ziggurat_s3.files._records import (
    BucketInfo,
    DirectoryReport,
    FileCallback,
    FileResult,
    Listed,
    ObjectInfo,
    ProgressCallback,
    UnfinishedUpload,
    UploadCallback,
    address_of,
)
from ziggurat_s3.files._service import Service, Task
from ziggurat_s3.files._upload import Travels

if TYPE_CHECKING:
    from boto3.session import Session

__all__ = ["S3Files"]

Local = str | os.PathLike[str]


class S3Files:
    """Files and directories on an S3 service. Thread-safe; it makes no connection before its first call.

    A *directory* is the keys that begin with its name and a slash; "" is the whole bucket. Every method
    raises a `ziggurat.errors.TierError` that says operation and address when the service could not do it
    (`ObjectNotFound` for what is not there, `ObjectChanged` for what was replaced meanwhile, `ObjectDamaged`
    for what is not as the service knows it), and OSError for files of this machine. Requests that fail in
    passing are sent again. The methods for directories do every file that they can, and give up only after
    ten in a row that the service failed in passing; when some fail they raise `TransferIncomplete`, whose
    `report` has each.

    Args:
        options: Where the service is and who asks; what it leaves out is found as boto3 finds it. Of a tier's
            `S3Options` what is said of requests and of objects holds too, bucket and prefix do not.
        timeouts: Seconds to connect, and for the next byte.
        attempts: How often one request is sent at most.
        max_wait: Longest pause between two attempts, in seconds.
        workers: Files of a directory that are done at once. Together with the parts of large ones they occupy
            some 200 MiB at most.
        checksum: "none" neither asks for checksums nor compares them or ETags with what was sent or came.
    """

    def __init__(
        self,
        options: ConnectionOptions | None = None,
        *,
        timeouts: Timeouts | None = None,
        attempts: int = 5,
        max_wait: float = 20.0,
        workers: int = 8,
        checksum: Checksum = "auto",
    ) -> None:
        given, times = options or ConnectionOptions(), timeouts or Timeouts()
        self._service = Service(given, times, attempts=attempts, max_wait=max_wait, checksum=checksum)
        self._workers = workers

    def get_session(self) -> Session:
        """The boto3 session that every request is signed with."""
        return self._service.clients.session

    # One file

    def ul_file(
        self,
        path: Local,
        bucket: str,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        progress_callback: ProgressCallback | None = None,
    ) -> FileResult:
        """Upload a regular file; what is under the key is replaced, at once and whole.

        Args:
            path: The file.
            bucket: Where to.
            key: Its whole key.
            content_type: Media type; the default is told by the file's name.
            metadata: Names and values that travel with it, in ASCII.
            progress_callback: Called with the bytes transferred since its last call.

        Raises:
            ContentMismatch: The file changed while it was read; nothing of it was stored.
        """
        return _single_files.upload_file(
            self._service,
            Task("ul_file", bucket, key),
            Path(path),
            Travels(content_type, metadata or {}),
            progress_callback,
        )

    def dl_file(
        self, bucket: str, key: str, path: Local, *, progress_callback: ProgressCallback | None = None
    ) -> FileResult:
        """Download to a file, which has the whole content or is as it was before.

        Args:
            bucket: Where from.
            key: What.
            path: The file; its folder exists. A file or a symlink there is replaced.
            progress_callback: Called with the bytes transferred since its last call; below zero for what is
                read again, because the object was replaced meanwhile.

        Raises:
            Unsupported: A device, a pipe or a socket is there.
        """
        return _single_files.download_file(
            self._service, Task("dl_file", bucket, key), Path(path), progress_callback
        )

    def upload_object(
        self,
        file: BinaryIO,
        bucket: str,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        progress_callback: ProgressCallback | None = None,
    ) -> FileResult:
        """Upload what a binary file gives, from where it stands to its end; it need not be seekable.

        What it raises passes, and nothing of it is stored. The rest is as for `ul_file`.
        """
        travels = Travels(content_type, metadata or {})
        return _single_files.upload_object(
            self._service, Task("upload_object", bucket, key), file, travels, progress_callback
        )

    def download_object(
        self, bucket: str, key: str, file: BinaryIO, *, progress_callback: ProgressCallback | None = None
    ) -> FileResult:
        """Write an object's bytes to a binary file, from where it stands; a failure may leave a part."""
        return _single_files.download_object(
            self._service, Task("download_object", bucket, key), file, progress_callback
        )

    def get_object(self, bucket: str, key: str) -> bytes:
        """Read an object into memory."""
        return _single_files.get_object(self._service, Task("get_object", bucket, key))

    def cp_file(self, bucket: str, key: str, to_bucket: str, to_key: str) -> FileResult:
        """Copy an object with its metadata, within the service, and compare the copy; over 5 GiB by parts."""
        return _single_files.copy_file(
            self._service, Task("cp_file", bucket, key), Task("cp_file", to_bucket, to_key)
        )

    def mv_file(self, bucket: str, key: str, to_bucket: str, to_key: str) -> FileResult:
        """Copy an object, compare the copy, and only then delete the source, if it is still that."""
        return _single_files.move_file(
            self._service, Task("mv_file", bucket, key), Task("mv_file", to_bucket, to_key)
        )

    def rm_file(self, bucket: str, key: str) -> FileResult | None:
        """Delete an object. None when there was none."""
        return _single_files.remove_file(self._service, Task("rm_file", bucket, key))

    # What travels with one

    def get_metadata(self, bucket: str, key: str) -> ObjectInfo:
        """What the service knows of an object: size, ETag, times, content type, metadata."""
        return self._service.found(Task("get_metadata", bucket, key))

    def set_metadata(
        self, bucket: str, key: str, metadata: Mapping[str, str], *, content_type: str | None = None
    ) -> ObjectInfo:
        """Say all user metadata anew. The service copies the object onto itself; content and the rest stay.

        Args:
            bucket: Where it is.
            key: What.
            metadata: All of it; what is left out is gone.
            content_type: None to keep it.
        """
        return _single_files.set_metadata(
            self._service, Task("set_metadata", bucket, key), metadata, content_type
        )

    # Directories

    def ls_dir(self, bucket: str, directory: str = "", *, recursive: bool = False) -> Iterator[Listed]:
        """List a directory as the pages come, in the order of keys.

        Args:
            bucket: Which.
            directory: Which, "" for the whole bucket.
            recursive: Every object below, not the directories that stand for them.

        Raises:
            TierError: While it is read; what came before is true, and not all.
        """
        list_of = _listing.everything if recursive else _listing.level
        return list_of(self._service, "ls_dir", bucket, directory)

    def mk_dir(self, bucket: str, directory: str) -> FileResult:
        """Put the empty object that stands for a directory; "skipped" when it is there."""
        return _single_files.make_directory(self._service, Task("mk_dir", bucket, directory))

    def ul_dir(
        self,
        folder: Local,
        bucket: str,
        directory: str = "",
        *,
        progress_callback: ProgressCallback | None = None,
        file_callback: FileCallback | None = None,
    ) -> DirectoryReport:
        """Upload all files below a folder; those that are there and equal by size and MD5 are skipped.

        An empty folder becomes the object that stands for it. A symlink is uploaded as the file in the folder
        that it leads to; what leads anywhere else fails by name.

        Args:
            folder: What.
            bucket: Where to.
            directory: Where the folder's content goes.
            progress_callback: Called with the bytes transferred since its last call.
            file_callback: Called with each file's result or failure.

        Raises:
            TransferIncomplete: Some files failed.
        """
        many = self._many("ul_dir", bucket, directory, file_callback)
        return _directory_transfers.upload(
            self._service, many, Path(folder), many.progress(progress_callback)
        )

    def dl_dir(
        self,
        bucket: str,
        directory: str,
        folder: Local,
        *,
        progress_callback: ProgressCallback | None = None,
        file_callback: FileCallback | None = None,
    ) -> DirectoryReport:
        """Download all objects of a directory; files that are there and equal by size and MD5 are skipped.

        A key that would leave the folder (absolute, "..", "//", through a symlink) fails by name.

        Args:
            bucket: Where from.
            directory: What.
            folder: Where its content goes; made if need be. Other files in it stay.
            progress_callback: Called with the bytes transferred since its last call.
            file_callback: Called with each file's result or failure.

        Raises:
            ObjectNotFound: There is no such directory.
            TransferIncomplete: Some files failed.
        """
        many = self._many("dl_dir", bucket, directory, file_callback)
        return _directory_transfers.download(
            self._service, many, Path(folder), many.progress(progress_callback)
        )

    def cp_dir(
        self,
        bucket: str,
        directory: str,
        to_bucket: str,
        to_directory: str,
        *,
        progress_callback: ProgressCallback | None = None,
        file_callback: FileCallback | None = None,
    ) -> DirectoryReport:
        """Copy all objects of a directory, within the service; what is there and equal is skipped.

        Raises:
            Unsupported: One directory lies in the other.
            ObjectNotFound: There is no such directory.
            TransferIncomplete: Some files failed.
        """
        many = self._many("cp_dir", bucket, directory, file_callback)
        prefix, progress = directory_prefix(to_directory), many.progress(progress_callback)
        return _directory_changes.copy_directory(self._service, many, to_bucket, prefix, progress)

    def mv_dir(
        self,
        bucket: str,
        directory: str,
        to_bucket: str,
        to_directory: str,
        *,
        progress_callback: ProgressCallback | None = None,
        file_callback: FileCallback | None = None,
    ) -> DirectoryReport:
        """Move all objects of a directory; each is deleted when its copy was compared. As `cp_dir` else."""
        many = self._many("mv_dir", bucket, directory, file_callback)
        prefix, progress = directory_prefix(to_directory), many.progress(progress_callback)
        return _directory_changes.move_directory(self._service, many, to_bucket, prefix, progress)

    def rm_dir(
        self, bucket: str, directory: str, *, file_callback: FileCallback | None = None
    ) -> DirectoryReport:
        """Delete all objects of a directory. That there are none is no error.

        Raises:
            Unsupported: The directory is "", the whole bucket, which a variable may be by mistake: see
                `empty_bucket`.
            TransferIncomplete: Some could not be deleted.
        """
        many = self._many("rm_dir", bucket, directory, file_callback)
        if not many.prefix:
            whole = f"{address_of(bucket)} is a whole bucket"
            raise Unsupported(f"{whole}: empty_bucket deletes what is in it", op="rm_dir")
        return _directory_changes.remove_directory(self._service, many)

    def _many(self, op: str, bucket: str, directory: str, callback: FileCallback | None) -> Many:
        return Many(op, bucket, directory_prefix(directory), self._workers, callback)

    # Large uploads that a kill left behind

    def ls_uploads(self, bucket: str, where: str = "") -> Iterator[UnfinishedUpload]:
        """List large uploads that were begun and neither completed nor given up, under way or not.

        Args:
            bucket: Which.
            where: A key or a directory, "" for the whole bucket.

        Raises:
            TierError: While it is read; what came before is true, and not all.
        """
        return _unfinished.listed(self._service, "ls_uploads", bucket, where)

    def rm_uploads(
        self,
        bucket: str,
        where: str = "",
        *,
        older_than: float = DAY,
        upload_callback: UploadCallback | None = None,
    ) -> list[UnfinishedUpload]:
        """End the large uploads that nobody goes on with, and give them; the service frees their parts.

        Args:
            bucket: Which.
            where: A key or a directory, "" for the whole bucket.
            older_than: Seconds since the last part arrived. Nothing else tells an upload that was left behind
                from one under way, here or elsewhere, so let it be longer than any part takes.
            upload_callback: Called with each upload when it was ended.
        """
        return _unfinished.end(self._service, "rm_uploads", bucket, where, older_than, upload_callback)

    # Buckets

    def list_buckets(self) -> list[BucketInfo]:
        """Every bucket of the account."""
        return _buckets.list_buckets(self._service)

    def bucket_exists(self, bucket: str) -> bool:
        """Whether there is such a bucket; TierDenied when it is not to be looked at."""
        return _buckets.bucket_exists(self._service, bucket)

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket, in the region of the configuration."""
        _buckets.create_bucket(self._service, bucket)

    def empty_bucket(self, bucket: str, *, file_callback: FileCallback | None = None) -> DirectoryReport:
        """Delete all objects of a bucket; it stays, and so do older versions.

        Raises:
            TransferIncomplete: Some could not be deleted.
        """
        many = self._many("empty_bucket", bucket, "", file_callback)
        return _directory_changes.remove_directory(self._service, many)

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket.

        Raises:
            Unsupported: It is not empty; the message says what is in it, and what removes that.
        """
        _buckets.delete_bucket(self._service, bucket)
