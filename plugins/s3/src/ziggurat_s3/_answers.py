"""What botocore, obstore and HTTP say of a failure, as one record.

botocore gives the parts of an answer. obstore gives one text, which holds the status, the body and the error
beneath; its form is that of object_store 0.13, and what does not match it is a failure without a code.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

__all__ = ["Answer", "answer_of"]

Trouble = Literal["", "connect", "dns", "tls", "timeout", "broken", "credentials", "setup", "region"]


@frozen
class Answer:
    """What a service answered, or why there is no answer.

    Attributes:
        status: Status of HTTP, 0 without an answer.
        code: The service's own code, such as "NoSuchKey"; "" when it gave none (a HEAD never does).
        message: The service's words, or those of the library; one line.
        region: The region that the service says is right, "" for none.
        retry_after: Seconds that it asks to wait.
        trouble: What was wrong when there is no answer, "" for one.
    """

    status: int = 0
    code: str = ""
    message: str = ""
    region: str = ""
    retry_after: float | None = None
    trouble: Trouble = ""


_STATUS = re.compile(
    r"Server returned non-2xx status code: (\d{3})[^:]*:? ?(.*?)(?:\n\nDebug source:|\Z)", re.S
)
_IN_BODY = re.compile(r"(?:got|returned)? ?error response:? ?(<.*?)(?:\n\nDebug source:|\Z)", re.I | re.S)
_LINE = 300


def _element(name: str, body: str) -> str:
    found = re.search(rf"<{name}>(.*?)</{name}>", body, re.S)
    return _line(html.unescape(found[1])) if found else ""


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_LINE]


def answer_of(error: BaseException | None) -> Answer | None:
    """The record of an exception of botocore or obstore; None for any other, and for none."""
    if error is None:
        return None
    if _without_end(error):
        return Answer(message="redirected without end", trouble="region")
    room = type(error).__module__.partition(".")[0]
    if room in ("botocore", "boto3", "s3transfer", "urllib3"):
        return _of_boto(error)
    text = str(error)
    if room == "obstore" or (isinstance(error, FileNotFoundError | OSError | ValueError) and _obstores(text)):
        return _of_obstore(error, text)
    return None


def _without_end(error: BaseException) -> bool:
    """Whether boto3 looked for a region that no answer names, again and again, until Python stopped it.

    Where that is in the midst of a request, botocore takes it for a fault of the connection.
    """
    return isinstance(error, RecursionError) or isinstance(error.__context__, RecursionError)


def _obstores(text: str) -> bool:
    return "Debug source:" in text or text.startswith("Object at location ")


def _of_boto(error: BaseException) -> Answer:
    from botocore import exceptions as known

    if isinstance(error, known.ClientError):
        return _of_response(error.response)
    message = _line(error)
    if isinstance(error, known.ConnectTimeoutError | known.ReadTimeoutError):
        return Answer(message=message, trouble="timeout")
    if isinstance(error, known.SSLError):
        return Answer(message=message, trouble="tls")
    if isinstance(error, known.EndpointConnectionError | known.ProxyConnectionError):
        named = "Name or service not known" in message or "Could not resolve" in message
        cause: object = error.kwargs.get("error", "")
        dns = named or type(cause).__name__ == "NameResolutionError" or "NameResolution" in repr(cause)
        return Answer(message=message, trouble="dns" if dns else "connect")
    if isinstance(error, known.NoCredentialsError | known.PartialCredentialsError):
        return Answer(message=message, trouble="credentials")
    if isinstance(error, known.CredentialRetrievalError | known.MetadataRetrievalError):
        return Answer(message=message, trouble="credentials")
    if isinstance(error, known.HTTPClientError | known.IncompleteReadError | known.ResponseStreamingError):
        return Answer(message=message, trouble="broken")
    if type(error).__module__.startswith("urllib3"):
        kind = type(error).__name__
        return Answer(message=message, trouble="timeout" if "Timeout" in kind else "broken")
    return Answer(message=message, trouble="setup")


def _of_response(response: Mapping[str, Any]) -> Answer:
    told, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    headers = {name.lower(): value for name, value in (meta.get("HTTPHeaders") or {}).items()}
    status = int(meta.get("HTTPStatusCode") or 0)
    code = str(told.get("Code", ""))
    return Answer(
        status=status,
        code="" if code.isdigit() else code,  # botocore repeats the status where there is no body
        message=_line(told.get("Message", "")),
        region=str(headers.get("x-amz-bucket-region") or told.get("Region") or ""),
        retry_after=_seconds(headers.get("retry-after")),
    )


def _seconds(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def _of_obstore(error: BaseException, text: str) -> Answer:
    found = _STATUS.search(text)
    if found:
        body = found[2]
        return Answer(
            status=int(found[1]),
            code=_element("Code", body),
            message=_element("Message", body),
            region=_element("Region", body),
        )
    if inside := _IN_BODY.search(text):  # a 200 whose body is an error: the end of a multipart upload
        body = inside[1]
        return Answer(status=200, code=_element("Code", body), message=_element("Message", body))
    # The library's own words come after what was asked and how long it took.
    short = _line(text.partition("\n\nDebug source:")[0].rpartition(" - ")[2])
    low = text.lower()
    if "external aws credential provider" in low:
        return Answer(message=short, trouble="credentials")
    if "redirect without location" in low:
        return Answer(message=short, trouble="region")
    if "dns error" in low:
        return Answer(message=short, trouble="dns")
    if "certificate" in low or "invalidcontenttype" in low or "tls" in low or "corruptmessage" in low:
        return Answer(message=short, trouble="tls")
    if "timedout" in low or "timed out" in low or "kind: timeout" in low:
        return Answer(message=short, trouble="timeout")
    if "kind: connect" in low:
        return Answer(message=short, trouble="connect")
    if "kind: builder" in low or "badscheme" in low or type(error).__name__ in _SETUP:
        return Answer(message=short, trouble="setup")
    if isinstance(error, FileNotFoundError):
        return Answer(status=404, message=short)
    return Answer(message=short, trouble="broken")


_SETUP = ("UnknownConfigurationKeyError", "InvalidPathError", "NotSupportedError", "ValueError")
