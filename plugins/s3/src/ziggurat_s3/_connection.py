"""The options that say where a service is and who asks, in every spelling that people know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, fields, frozen, validators

from ziggurat_s3._settings import (
    CLIENT_PARAMETERS,
    SESSION_PARAMETERS,
    AddressingStyle,
    Settings,
    address_of,
)

__all__ = ["ConnectionOptions"]

_text = validators.instance_of(str)
_flag = validators.optional(validators.instance_of(bool))


def _secret(alias: str | None, help_: str) -> Any:
    metadata = {"secret": True, "help": help_}
    return field(default="", repr=False, alias=alias, validator=_text, metadata=metadata)


def _word(alias: str | None, help_: str) -> Any:
    return field(default="", alias=alias, validator=_text, metadata={"help": help_})


def _table(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{attribute.name} is a table")


@frozen(kw_only=True)
class ConnectionOptions:
    """Where the service is and who asks; several spellings of one option mean the same.

    Attributes:
        access_key_id: Access key; `aws_access_key_id` and `accessKey` mean the same.
        secret_access_key: Its secret; `aws_secret_access_key` and `secretKey` mean the same.
        session_token: Its session token; `aws_session_token` and `sessionToken` mean the same.
        profile_name: Profile of the AWS configuration files; `profile` means the same.
        region_name: Region; `region` means the same.
        endpoint_url: Address of the service; `endpoint` means the same.
        use_ssl: False for plain HTTP where the endpoint has no scheme.
        verify: False for no check of certificates, or the path of a CA bundle.
        addressing_style: "path", "virtual", or "auto" to choose by the endpoint.
        anonymous: Do not sign requests: public buckets.
        boto3: Further parameters of boto3's session and client.
    """

    access_key_id: str = _word(None, "access key; default: what boto3 finds")
    aws_access_key_id: str = _word(None, "the same as access_key_id")
    access_key: str = _word("accessKey", "the same as access_key_id")
    secret_access_key: str = _secret(None, "secret of the access key")
    aws_secret_access_key: str = _secret(None, "the same as secret_access_key")
    secret_key: str = _secret("secretKey", "the same as secret_access_key")
    session_token: str = _secret(None, "session token of temporary keys")
    aws_session_token: str = _secret(None, "the same as session_token")
    session_token_: str = _secret("sessionToken", "the same as session_token")
    profile_name: str = _word(None, "profile of the AWS configuration files")
    profile: str = _word(None, "the same as profile_name")
    region_name: str = _word(None, "region; default: what boto3 finds, then us-east-1")
    region: str = _word(None, "the same as region_name")
    endpoint_url: str = _word(None, "address of the service; default: AWS")
    endpoint: str = _word(None, "the same as endpoint_url; without a scheme, use_ssl gives it")
    use_ssl: bool | None = field(default=None, validator=_flag, metadata={"help": "false for plain HTTP"})
    verify: bool | str | None = field(
        default=None,
        validator=validators.optional(validators.instance_of((bool, str))),
        metadata={"help": "false for no check of certificates, or the path of a CA bundle"},
    )
    addressing_style: AddressingStyle = field(
        default="auto",
        validator=validators.in_(("auto", "path", "virtual")),
        metadata={"help": "where the bucket stands in a URL: path, virtual, or auto to choose by endpoint"},
    )
    anonymous: bool = field(
        default=False,
        validator=validators.instance_of(bool),
        metadata={"help": "do not sign requests, for a public bucket"},
    )
    boto3: Mapping[str, Any] = field(
        factory=dict,
        repr=False,
        validator=_table,
        metadata={"help": "further parameters of boto3's session and client; config = {} for botocore"},
    )

    def __attrs_post_init__(self) -> None:
        self.settings()

    def settings(self) -> Settings:
        """What all spellings say together.

        Raises:
            ValueError: Two spellings contradict each other, or something cannot be used.
        """
        extra = dict(self.boto3)
        config = _config(extra.pop("config", {}))
        known = (*SESSION_PARAMETERS, *CLIENT_PARAMETERS)
        for name in extra:
            if name in ("aws_secret_access_key", "aws_session_token"):
                raise ValueError(f"boto3 holds no secrets: give {name} beside it, by reference")
            if name not in known:
                raise ValueError(f"boto3 has no parameter {name} to set; there are {', '.join(known)}")
        access = self._one("access_key_id", "aws_access_key_id", "access_key", extra=extra)
        secret = self._one("secret_access_key", "aws_secret_access_key", "secret_key")
        token = self._one("session_token", "aws_session_token", "session_token_")
        if bool(access) is not bool(secret) or (token and not secret):
            raise ValueError("access_key_id and secret_access_key come together, or not at all")
        if self.anonymous and access:
            raise ValueError("anonymous = true signs nothing: leave the access key out")
        use_ssl = self._same("use_ssl", self.use_ssl, extra.pop("use_ssl", None))
        endpoint = self._one("endpoint_url", "endpoint", extra=extra)
        return Settings(
            access_key_id=access,
            secret_access_key=secret,
            session_token=token,
            profile_name=self._one("profile_name", "profile", extra=extra),
            region_name=self._one("region_name", "region", extra=extra),
            endpoint_url=address_of(endpoint, use_ssl=use_ssl),
            use_ssl=use_ssl is not False,
            verify=self._same("verify", self.verify, extra.pop("verify", None)),
            addressing_style=self.addressing_style,
            anonymous=self.anonymous,
            config=config,
            session={name: extra[name] for name in SESSION_PARAMETERS if name in extra},
            client={name: extra[name] for name in CLIENT_PARAMETERS if name in extra},
        )

    def _one(self, *names: str, extra: dict[str, Any] | None = None) -> str:
        """The one value of several spellings; that of ``boto3 = {}`` is one of them, and is taken out."""
        aliases = {each.name: each.alias or each.name for each in fields(type(self))}
        given = {aliases[name]: getattr(self, name) for name in names if getattr(self, name)}
        for name in names if extra is not None else ():
            if extra is not None and name in extra:
                value = extra.pop(name)
                if not isinstance(value, str):
                    raise TypeError(f"boto3.{name} is text")
                given[f"boto3.{name}"] = value
        if len(set(given.values())) > 1:
            raise ValueError(f"{' and '.join(given)} mean the same and differ: give one of them")
        return next(iter(given.values()), "")

    @staticmethod
    def _same(name: str, one: Any, other: Any) -> Any:
        if one is not None and other is not None and one != other:
            raise ValueError(f"{name} and boto3.{name} mean the same and differ: give one of them")
        return other if one is None else one


def _config(given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise TypeError("boto3.config is a table of botocore's Config parameters")
    if "retries" in given:
        raise ValueError("boto3.config.retries has no effect here: the tier repeats, see [tier.retry]")
    return dict(given)
