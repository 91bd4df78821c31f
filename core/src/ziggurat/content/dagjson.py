"""DAG-JSON: values of the IPLD data model as JSON.

Source: https://ipld.io/specs/codecs/dag-json/spec/. A link is ``{"/": "bafy…"}``, bytes are
``{"/": {"bytes": "…"}}`` in base64 without padding; keys are sorted by their bytes, and nothing stands
between the tokens. A map whose first key is ``"/"`` may say nothing else than those two with a text there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, NoReturn

from ziggurat.content.cid import MAX_BLOCK, Cid
from ziggurat.content.datamodel import Form, Value, finite, fitting, lowered, no_float, shaped
from ziggurat.errors import InvalidCid, MalformedContent, UnsupportedContent

__all__ = ["decode", "encode", "json_links"]

_SLASH = "/"
_BYTES = "bytes"
_ESCAPES = {"\\b": "\\u0008", "\\f": "\\u000c", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPED = re.compile("\\\\.|[\u2028\u2029]")
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[ \t\r\n]+')


def _base64(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _ordered(table: dict[str, Any]) -> dict[str, Any]:
    # By code points: the order of their UTF-8.
    ordered = dict(sorted(table.items()))
    if _reserved(ordered):
        raise UnsupportedContent('DAG-JSON cannot say a map that begins with "/" and text: use another key')
    return ordered


def _reserved(table: dict[str, Any]) -> bool:
    """True for a map that stands where links and bytes do."""
    first = next(iter(table), None)
    if first != _SLASH:
        return False
    inner = table[first]
    if isinstance(inner, dict):
        return next(iter(inner), None) == _BYTES and isinstance(inner[_BYTES], str)
    return isinstance(inner, str)


_WRITTEN = Form(
    "DAG-JSON",
    lambda cid: {_SLASH: str(cid)},
    lambda data: {_SLASH: {_BYTES: _base64(data)}},
    no_float("DAG-JSON"),
    _ordered,
)


def encode(value: Value) -> bytes:
    """Write a value, in the bytes of ``ipfs dag put``; equal values make equal bytes.

    Args:
        value: None, bool, int, str, bytes, `Cid`, and lists, tuples and dicts of them.

    Raises:
        UnsupportedContent: A float, an integer of more than 64 bits and a sign, a key that is not text, a map
            that would be read as a link or as bytes, or a type that the data model does not have.
        MalformedContent: Nested deeper than `ziggurat.content.datamodel.MAX_NESTING`.
        BlobTooLarge: The block is larger than `ziggurat.content.MAX_BLOCK`.
    """
    text = json.dumps(
        shaped(value, _WRITTEN), ensure_ascii=False, separators=(",", ":"), check_circular=False
    )
    # Kubo escapes a few characters in its own way.
    text = _ESCAPED.sub(lambda match: _ESCAPES.get(match[0], match[0]), text)
    return fitting(text.encode(), _WRITTEN.name)


def decode(block: bytes | bytearray | memoryview) -> Value:
    """Read a block whose keys are sorted and which has no space between its tokens.

    Escapes in text may be written in any way, and floats: the codec has no one form for them.

    Returns:
        The value, with links as `Cid`, lists as `list` and maps as `dict` in the block's order.

    Raises:
        MalformedContent: Not such JSON: keys out of order or repeated, space, text that is not UTF-8, a link
            that is no CID in base32 (version 0: base58), bytes that are no base64, NaN or an infinity,
            something behind the value, nested too deep, above `ziggurat.content.MAX_BLOCK`.
    """
    text = _text(block)
    value = _loads(text, _strict_map)
    # Only now: in what is no JSON, a text without an end would be searched for from each of its quotes.
    if any(match[0][0] != '"' for match in _TOKENS.finditer(text)):
        raise MalformedContent("not canonical DAG-JSON: there is space between its tokens")
    try:
        # The values are proved one by one; what is left are nesting, half surrogates and large integers.
        shaped(value, _READ)
    except UnsupportedContent as error:
        raise MalformedContent(f"not DAG-JSON: {error.message}") from None
    return value  # type: ignore[no-any-return] # `shaped` has just found it to be one


_READ = Form("DAG-JSON", str, bytes, finite, dict)


def json_links(block: bytes) -> list[Cid]:
    """The links of a block in its order, whether it is canonical or not.

    Raises:
        MalformedContent: Not one JSON value, a map that begins like a link and is none, or above a limit.
    """
    found: list[Cid] = []

    def table(pairs: list[tuple[str, Any]]) -> Any:
        value = _map(pairs)
        if _reserved(value) and isinstance(value[_SLASH], str):
            found.append(_link(value))
            return None
        return value

    _loads(_text(block), table)
    return found


def _text(block: bytes | bytearray | memoryview) -> str:
    if len(block) > MAX_BLOCK:
        raise MalformedContent(f"a DAG-JSON block of {len(block)} bytes is above the limit of {MAX_BLOCK}")
    try:
        return bytes(block).decode()
    except UnicodeDecodeError:
        raise MalformedContent("not DAG-JSON: it is not UTF-8") from None


def _loads(text: str, table: Any) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=table, parse_int=_integer, parse_float=_float, parse_constant=_refuse
        )
    except (MalformedContent, InvalidCid) as error:
        raise MalformedContent(f"not DAG-JSON: {error.message}") from error
    except RecursionError:
        raise MalformedContent("not DAG-JSON: it nests too deep") from None
    except ValueError as error:
        raise MalformedContent(f"not DAG-JSON: {lowered(str(error))}") from None


def _integer(text: str) -> int:
    if len(text) > 21 or text == "-0":
        raise MalformedContent(f"{text[:24]} is no integer of 64 bits and a sign")
    return int(text)


def _float(text: str) -> float:
    return finite(float(text))


def _refuse(text: str) -> NoReturn:
    raise MalformedContent(f"the data model has no {text}")


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedContent("a key stands twice in a map")
    return value


def _strict_map(pairs: list[tuple[str, Any]]) -> Any:
    value = _map(pairs)
    if list(value) != sorted(value):
        raise MalformedContent("the keys of a map are not in order")
    if not _reserved(value):
        return value
    if isinstance(value[_SLASH], str):
        cid = _link(value)
        if str(cid) != value[_SLASH]:
            raise MalformedContent(f"the link {cid} is not in its canonical text")
        return cid
    inner = value[_SLASH]
    if len(value) > 1 or len(inner) > 1:
        raise MalformedContent("a map begins like bytes, and says more")
    return _octets(inner[_BYTES])


def _link(table: dict[str, Any]) -> Cid:
    if len(table) > 1:
        raise MalformedContent("a map begins like a link, and says more")
    return Cid.parse(table[_SLASH])


def _octets(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedContent("bytes are not base64") from None
    if _base64(data) != text:
        raise MalformedContent("bytes are not in canonical base64")
    return data
