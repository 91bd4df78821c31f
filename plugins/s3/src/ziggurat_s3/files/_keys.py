"""Keys: which library may carry one, what it means as a path, and which two may be one object."""

from __future__ import annotations

from unicodedata import normalize

from ziggurat.errors import Unsupported

__all__ = ["check_new_key", "directory_prefix", "may_be_one", "path_of", "plain"]

_LONGEST = 1024  # bytes of a key: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html


def plain(key: str) -> bool:
    """Whether obstore carries a key as it is.

    obstore drops a slash at either end without a word, and refuses empty segments, those that are dots, and
    control characters; all these go through boto3.
    """
    return not any(
        part in ("", ".", "..") or any(ord(c) < 32 or ord(c) == 127 for c in part) for part in key.split("/")
    )


def check_new_key(key: str) -> None:
    """Refuse to write under a key that services do not keep as it is.

    Raises:
        Unsupported: It is empty, too long, not Unicode, or has a segment "." or "..": services that keep
            files resolve such a path, and would write another object.
    """
    if not key:
        raise Unsupported("a key is at least one character: name the object")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise Unsupported(
            "the name is not Unicode, and S3 keys are: rename the file, or give a key of its own"
        ) from None
    if length > _LONGEST:
        raise Unsupported(f"the key has {length} bytes, and S3 allows {_LONGEST}: shorten it")
    if any(part in (".", "..") for part in key.split("/")):
        raise Unsupported("a key with a segment '.' or '..' names another object on some services: rename it")


def directory_prefix(key: str) -> str:
    """What the keys in a directory begin with: "a" and "a/" give "a/", "" the whole bucket."""
    return key if not key or key.endswith("/") else f"{key}/"


def may_be_one(one: str, other: str) -> bool:
    """Whether a service that keeps paths could take two keys for one object.

    MinIO and versitygw drop slashes at the beginning, versitygw drops double ones and resolves "..", some
    fold case or compose accents; so everything that differs in these only is suspected.
    """

    def folded(key: str) -> list[str]:
        names: list[str] = []
        for part in normalize("NFKC", key).casefold().split("/"):
            if part == "..":
                del names[-1:]
            elif part not in ("", "."):
                names.append(part)
        return names

    return folded(one) == folded(other)


def path_of(relative: str) -> tuple[tuple[str, ...], bool]:
    """Read a key, less its directory's prefix, as a path below a folder.

    Returns:
        Its names, and whether it is a directory's marker.

    Raises:
        Unsupported: It is no path that stays in the folder: absolute, with "." or ".." or an empty segment,
            or with what a file name cannot hold.
    """
    marker = relative.endswith("/")
    names = tuple(relative.removesuffix("/").split("/"))
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise Unsupported(
            "the key is no path below the folder (absolute, '.', '..' or '//'): download it alone, under a"
            " name that you give"
        )
    return names, marker
