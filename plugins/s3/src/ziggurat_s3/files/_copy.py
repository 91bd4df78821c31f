"""Copies within a service: the service moves the bytes, and what it made is compared with the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from attrs import frozen

from ziggurat.errors import TierError, TierUnavailable, Unsupported
from ziggurat_s3.files._equality import is_md5, joined_tag
from ziggurat_s3.files._keys import check_new_key, may_be_one
from ziggurat_s3.files._records import ObjectChanged, ObjectInfo
from ziggurat_s3.files._service import Service, Task, tag
from ziggurat_s3.files._upload import Part, abandon, finish

__all__ = ["Copied", "copy", "drop_source", "remove"]

_GIB = 1 << 30
_WHOLE_LIMIT = 5 * _GIB  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/copy-object.html
_PART = _GIB // 2
_MOST_PARTS = 10_000
_AT_ONCE = 4


@frozen
class Copied:
    """A copy that was compared with its source.

    Attributes:
        source: What was copied.
        made: What it became.
    """

    source: ObjectInfo
    made: ObjectInfo


def copy(service: Service, source: Task, target: Task, said: Mapping[str, Any] | None = None) -> Copied:
    """Copy an object with all that travels with it: content type, metadata, headers, storage class, tags.

    Args:
        service: Where both are.
        source: Operation, bucket and key of the source.
        target: Of the copy; what is there is replaced.
        said: Instead of what travels with the source, under boto3's names.

    Raises:
        ObjectNotFound: There is no source.
        ObjectChanged: It was replaced again and again while it was copied.
        TierError: It could not be copied, or the copy is not what was copied.
    """
    with service.told(target):
        check_new_key(target.key)
    before = service.found(source)
    for last in (False, False, True):
        try:
            e_tag = _way(before, target)(service, before, target, said)
        except ObjectChanged:
            if last:
                raise
            before = service.found(source)
        else:
            return Copied(before, _compared(service, before, target, e_tag))
    raise AssertionError("unreachable")


_Way = Callable[[Service, ObjectInfo, Task, Mapping[str, Any] | None], str]


def _way(source: ObjectInfo, target: Task) -> _Way:
    if source.size > _WHOLE_LIMIT:
        return _by_parts
    return _marker if not source.size and target.key.endswith("/") else _whole


def _whole(service: Service, source: ObjectInfo, target: Task, said: Mapping[str, Any] | None) -> str:
    options = _making(service, source)
    if said is not None:
        options |= {**said, "MetadataDirective": "REPLACE"}
    if source.e_tag:
        options["CopySourceIfMatch"] = f'"{source.e_tag}"'
    answer: Any = service.call(
        target,
        lambda: service.s3.copy_object(
            Bucket=target.bucket,
            Key=target.key,
            CopySource={"Bucket": source.bucket, "Key": source.key},
            **options,
        ),
    )
    return tag(answer["CopyObjectResult"].get("ETag"))


def _by_parts(service: Service, source: ObjectInfo, target: Task, said: Mapping[str, Any] | None) -> str:
    """Copy what is too large for one request; the tags and the rest are carried by hand."""
    options = {**_making(service, source), **(said if said is not None else _travels(source))}
    if tags := _tags(service, source):
        options["Tagging"] = tags
    upload = service.call(
        target,
        lambda: service.s3.create_multipart_upload(Bucket=target.bucket, Key=target.key, **options),
    )["UploadId"]
    size = max(_PART, -(-source.size // _MOST_PARTS))

    def one(number: int) -> Part:
        start = (number - 1) * size
        last = min(start + size, source.size) - 1
        match: Any = {"CopySourceIfMatch": f'"{source.e_tag}"'} if source.e_tag else {}
        answer: Any = service.call(
            target,
            lambda: service.s3.upload_part_copy(
                Bucket=target.bucket,
                Key=target.key,
                UploadId=upload,
                PartNumber=number,
                CopySource={"Bucket": source.bucket, "Key": source.key},
                CopySourceRange=f"bytes={start}-{last}",
                **match,
                **service.asking,
            ),
        )
        return {"PartNumber": number, "ETag": tag(answer["CopyPartResult"].get("ETag"))}

    try:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="s3-copy") as workers:
            parts = list(workers.map(one, range(1, -(-source.size // size) + 1)))
        made = finish(service, target, upload, parts)
    except BaseException:
        abandon(service, target, upload)
        raise
    expected = joined_tag(part["ETag"] for part in parts)
    if expected and "-" in made and made != expected:
        raise TierUnavailable(
            f"{target.address}: the copy's tag is {made}, its parts give {expected}: copy again",
            op=target.op,
            key=target.key,
        )
    return made


def _marker(service: Service, source: ObjectInfo, target: Task, said: Mapping[str, Any] | None) -> str:
    """Put a directory's marker anew: versitygw keeps a directory there, which it cannot copy."""
    travels = {**_making(service, source), **(said if said is not None else _travels(source))}
    return service.call(
        target,
        lambda: tag(
            service.s3.put_object(Bucket=target.bucket, Key=target.key, Body=b"", **travels).get("ETag")
        ),
    )


def _making(service: Service, source: ObjectInfo) -> dict[str, Any]:
    """What boto3 is told of a copy: the configuration's word, else the source's storage class."""
    made = {"StorageClass": source.storage_class} if source.storage_class else {}
    return {**made, **service.making, **service.asking}


def _travels(source: ObjectInfo) -> dict[str, Any]:
    made: dict[str, Any] = {"Metadata": dict(source.metadata), **source.headers}
    return made | ({"ContentType": source.content_type} if source.content_type else {})


def _tags(service: Service, source: ObjectInfo) -> str:
    from urllib.parse import urlencode

    task = Task("get tags", source.bucket, source.key)
    try:
        ask = partial(service.s3.get_object_tagging, Bucket=source.bucket, Key=source.key)
        answer = service.call(task, partial(ask, **service.asking))
    except Unsupported:  # a service without tags has none to keep
        return ""
    return urlencode([(one["Key"], one["Value"]) for one in answer["TagSet"]])


def _compared(service: Service, source: ObjectInfo, target: Task, e_tag: str) -> ObjectInfo:
    """Ask what is there now, and compare it with what was copied.

    Raises:
        TierUnavailable: It is something else.
    """
    made = service.head(target)
    if made is None:
        what = "is not there, though the service said that it was made"
    elif made.size != source.size:
        what = f"has {made.size:,} bytes instead of {source.size:,}"
    elif e_tag and made.e_tag != e_tag:
        what = "was replaced meanwhile"
    elif _differ(source, made):
        what = f"has the tag {made.e_tag} instead of {source.e_tag}"
    else:
        return made
    raise TierUnavailable(
        f"the copy {target.address} {what}; {source.address} is as it was: copy it again",
        op=target.op,
        key=target.key,
    )


def _differ(source: ObjectInfo, made: ObjectInfo) -> bool:
    """Whether two tags that are both the MD5 of their content are different."""
    kms = source.encryption.startswith("aws:kms") or made.encryption.startswith("aws:kms")
    return not kms and is_md5(source.e_tag) and is_md5(made.e_tag) and source.e_tag != made.e_tag


def drop_source(service: Service, copied: Copied, op: str) -> None:
    """Delete the source of a copy, unless it changed since or the copy is the same object.

    Raises:
        ObjectChanged: The source was replaced; both are there.
        Unsupported: The service takes both keys for one object; it is there.
    """
    source, made = copied.source, copied.made
    task = Task(op, source.bucket, source.key)
    if source.bucket == made.bucket and may_be_one(source.key, made.key):
        _check_apart(service, copied, task)
    now = service.head(task)
    if now is None or (now.e_tag, now.size) != (source.e_tag, source.size):
        raise ObjectChanged(
            f"{source.address} changed while it was moved: it is there still, and its copy as it was at"
            f" {made.address}: move it again",
            op=op,
            key=source.key,
            retryable=True,
        )
    remove(service, task)


def _check_apart(service: Service, copied: Copied, task: Task) -> None:
    """See both keys in the listing before one is deleted."""
    for key in (copied.source.key, copied.made.key):
        one = Task(task.op, task.bucket, key)
        ask = partial(service.s3.list_objects_v2, Bucket=task.bucket, Prefix=key, MaxKeys=1, **service.asking)
        rows = service.call(one, ask).get("Contents", ())
        if not any(row["Key"] == key for row in rows):
            raise Unsupported(
                f"this service may take {copied.source.address} and {copied.made.address} for one object:"
                " nothing was deleted",
                op=task.op,
                key=task.key,
            )


def remove(service: Service, task: Task) -> None:
    """Delete an object; that there is none is no error.

    Raises:
        TierError: The service could not, or would not.
    """
    try:
        service.call(
            task, partial(service.s3.delete_object, Bucket=task.bucket, Key=task.key, **service.asking)
        )
    except TierError as error:
        if isinstance(error, LookupError):  # some services say so
            return
        raise
