"""The one place where what a service says, or does not say, becomes an error of the contract."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType

from attrs import evolve, frozen

from ziggurat.errors import (
    RangeError,
    TierDenied,
    TierError,
    TierFull,
    TierThrottled,
    TierTimeout,
    TierUnavailable,
    Unsupported,
    ZigguratError,
)
from ziggurat_s3._answers import Answer, answer_of

__all__ = ["Remedies", "Translated", "is_missing"]

_NO_OBJECT = {"NoSuchKey", "NoSuchVersion"}
_WRONG_KEY = {"InvalidAccessKeyId", "InvalidAccessKey", "NoSuchAccessKey", "XAdminUserNotFound"}
_WRONG_SECRET = {"SignatureDoesNotMatch", "InvalidSignature"}
_CLOCK = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"}
_REGION = {
    *("PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed"),
    *("IllegalLocationConstraintException", "IncorrectEndpoint", "InvalidRegion"),
}
_MOVED = (301, 307)
_SLOW = {
    *("SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestThrottled"),
    *("RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded", "TooManyRequestsException"),
}
_FULL = {
    *("InsufficientStorage", "XMinioStorageFull", "StorageFull", "QuotaExceeded", "EntityQuotaExceeded"),
    *("XMinioAdminBucketQuotaExceeded", "NoSpaceLeft", "XMinioInsufficientStorage"),
}
_FULL_WORDS = re.compile(r"no space left|disk quota|quota exceeded|not enough space|storage (is )?full", re.I)
_DAMAGED = {
    *("BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "ContentSHA256Mismatch"),
    *("XAmzContentChecksumMismatch", "ChecksumMismatch"),
}
_PASSING = {"InternalError", "ServiceUnavailable", "Busy", "OperationAborted", "ConditionalRequestConflict"}
_TAKEN = {"BucketAlreadyExists", "BucketAlreadyOwnedByYou"}
_UNABLE = {"NotImplemented", "MethodNotAllowed", "InvalidStorageClass", "XNotImplemented"}


def is_missing(error: BaseException) -> bool:
    """Whether a service said that there is no such object: the bucket is there, and nothing else failed.

    A HEAD answers without a code, and then this is False: its 404 can mean the bucket too.
    """
    answer = answer_of(error)
    return answer is not None and answer.code in _NO_OBJECT


@frozen
class Remedies:
    """What those who ask can do about some failures: no message names an option that its reader lacks.

    Attributes:
        no_bucket: There is no such bucket; ``{bucket}`` stands for its name.
        damaged: What arrived is not what was sent.
        unable: The service cannot do what was asked for.
    """

    no_bucket: str
    damaged: str
    unable: str


class Translated:
    """Context manager, usable by many threads at once: raises a `TierError` for what boto3 and obstore raise.

    Errors of ours pass, and so does whatever neither library raised: what the content of a put raised is
    not the service's fault.

    Args:
        bucket: Named in messages, "" for none.
        remedies: What messages advise.
        endpoint: URL of the service, named in messages, "" for AWS.
        region_of: Asks the service for the bucket's region, where an answer says only that it is another.

    Attributes:
        where: Bucket and service, as messages name them.
    """

    def __init__(
        self,
        bucket: str,
        remedies: Remedies,
        endpoint: str = "",
        region_of: Callable[[], str] | None = None,
    ) -> None:
        self._bucket, self._remedies, self._region_of = bucket, remedies, region_of
        self.where = f"bucket {bucket!r}" if bucket else "S3"
        if endpoint:
            self.where += f" at {endpoint}"

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (told := self.tell(error)) is not None:
            raise told from error

    def tell(self, error: BaseException) -> TierError | None:
        """Give the error of the contract, or None for what is not the service's to explain."""
        if isinstance(error, ZigguratError):
            return None
        answer = answer_of(error)
        if answer is None:
            return None
        elsewhere = answer.trouble == "region" or (answer.code in _REGION or answer.status in _MOVED)
        if elsewhere and not answer.region and self._region_of is not None:
            answer = evolve(answer, region=self._region_of())
        return self.refusal(answer) if answer.status else self._trouble(answer)

    def refusal(self, answer: Answer) -> TierError:
        """The error of the contract for an answer that is not the one that was asked for."""
        code = answer.code
        said = ": ".join(part for part in (code or f"status {answer.status}", answer.message) if part)
        where = self.where
        if code == "NoSuchBucket":
            return TierUnavailable(
                f"there is no {where}: {self._remedies.no_bucket.format(bucket=self._bucket)}"
            )
        if code in _NO_OBJECT:
            return TierUnavailable(f"{where} has no such object ({said})")
        if code == "NoSuchUpload":
            return TierUnavailable(f"{where}: the upload was given up meanwhile: try again", retryable=True)
        if code == "InvalidObjectState":
            return TierUnavailable(f"{where}: the object is archived ({said}): restore it first")
        full = TierFull(f"{where} is full ({said}): free space there, or raise its quota")
        if code in _FULL or answer.status == 507:  # some makes say 403 with it
            return full
        if (denied := self._denied(answer, said)) is not None:
            return denied
        if code in _SLOW or answer.status == 429:
            return TierThrottled(
                f"{where} asks to slow down ({said})", retryable=True, retry_after=answer.retry_after
            )
        if _FULL_WORDS.search(answer.message):
            return full
        if code in _DAMAGED:
            return TierUnavailable(
                f"{where} did not receive what was sent ({said}): {self._remedies.damaged}", retryable=True
            )
        if code == "InvalidRange" or answer.status == 416:
            return RangeError(f"{where}: the object is shorter than the range that was asked for ({said})")
        if code in ("RequestTimeout", "RequestTimedOut") or answer.status in (408, 504):
            return TierTimeout(f"{where}: too slow ({said}): try again", retryable=True)
        if code in _UNABLE or answer.status in (405, 501):
            return Unsupported(f"{where} cannot do this ({said}): {self._remedies.unable}")
        if code in _PASSING or answer.status >= 500:
            return TierUnavailable(
                f"{where}: {said}: try again", retryable=True, retry_after=answer.retry_after
            )
        return TierUnavailable(f"{where} refused: {said}")

    def _denied(self, answer: Answer, said: str) -> TierError | None:
        """The errors of who asks, and of what is not theirs."""
        code, where = answer.code, self.where
        if code in _WRONG_KEY:
            return TierDenied(f"{where} does not know the access key: correct access_key_id")
        if code in _WRONG_SECRET:
            return TierDenied(f"{where} refuses the signature: correct secret_access_key")
        if code in _CLOCK:
            return TierDenied(f"{where}: the clock of this machine differs from the service's: set it")
        if code in _EXPIRED:
            return TierDenied(
                f"{where}: the temporary credentials have expired: renew them, or use a profile or a role",
                retryable=True,
            )
        if code in _REGION or answer.status in _MOVED or (answer.region and answer.status == 400):
            return self._elsewhere(answer)
        if code in _TAKEN:
            return TierDenied(f"{where} exists already ({said}): choose another name")
        if answer.status == 403 or code in ("AccessDenied", "AllAccessDisabled", "AccountProblem"):
            return TierDenied(
                f"{where} denies it ({said}): allow s3:GetObject, s3:PutObject, s3:DeleteObject and"
                " s3:ListBucket, without which it cannot tell what it lacks"
            )
        if answer.status == 401:
            return TierDenied(f"{where} wants credentials: give access_key_id and secret_access_key")
        return None

    def _trouble(self, answer: Answer) -> TierError:
        where, said = self.where, answer.message
        if answer.trouble == "dns":
            return TierUnavailable(f"{where}: its name is not known: correct endpoint_url", retryable=True)
        if answer.trouble == "connect":
            return TierUnavailable(
                f"{where}: no connection: start the service, or correct endpoint_url", retryable=True
            )
        if answer.trouble == "tls":
            return TierDenied(
                f"{where}: no trusted connection ({said}): correct the scheme of endpoint_url, or name the"
                " CA's certificate in verify"
            )
        if answer.trouble == "timeout":
            return TierTimeout(f"{where}: no answer in time: try again", retryable=True)
        if answer.trouble == "credentials":
            return TierDenied(f"{where}: no usable credentials ({said}): see access_key_id", retryable=True)
        if answer.trouble == "setup":
            return TierUnavailable(f"{where}: {said}: correct the options")
        if answer.trouble == "region":
            return self._elsewhere(answer)
        return TierUnavailable(f"{where}: the connection broke ({said}): try again", retryable=True)

    def _elsewhere(self, answer: Answer) -> TierError:
        right = f'say region_name = "{answer.region}"' if answer.region else "correct region_name"
        return TierUnavailable(f"{self.where} is in another region: {right}")
