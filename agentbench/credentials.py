"""Credentials: finds them in a configuration, which must not contain any, and removes them from texts."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

SHORTEST = 8
"""Characters of a secret that is taken out: a shorter one may be any word."""

HIDDEN = "[secret]"
SECRET = "secret"
"""The type of an error whose input is not to be shown."""

_NAMES = re.compile(
    r"authori[sz]|auth$|auth[-_]|(api|access|account)[-_]?key|token$|secret|cookie|passw|signature|credential",
    re.IGNORECASE,
)
_SHORT_NAMES = frozenset({"key", "sig", "code", "pwd"})


def names_a_secret(name: str) -> bool:
    """Whether a header or parameter of this name probably holds a secret."""
    return bool(_NAMES.search(name)) or name.lower() in _SHORT_NAMES


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise PydanticCustomError(
            SECRET,
            "it has a user or a password in it, which would be stored; give them in an environment variable:"
            " headers_env: {Authorization: NAME}",
        )
    named = next((name for name, _ in parse_qsl(parts.query) if names_a_secret(name)), None)
    if named is not None:
        raise PydanticCustomError(
            SECRET,
            "its parameter {name} would be stored; give it in an environment variable: query_env: {{name}: NAME}",
            {"name": named},
        )
    return url


def _without_secrets(headers: Mapping[str, str]) -> Mapping[str, str]:
    named = next((name for name in headers if names_a_secret(name)), None)
    if named is not None:
        raise PydanticCustomError(
            SECRET,
            "the value of {name} would be stored; give the environment variable that holds it:"
            " headers_env or query_env: {{name}: NAME}",
            {"name": named},
        )
    return headers


StorableUrl = Annotated[str, AfterValidator(_without_credentials)]
"""A URL without credentials: a configuration is stored, reported and exported."""

StorableValues = Annotated[Mapping[str, str], AfterValidator(_without_secrets)]
"""Headers or parameters by name, none of which is named like a credential."""


def forms_of(secrets: Collection[str]) -> tuple[str, ...]:
    """The forms in which a server may echo the secrets, longest first."""
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), secret.removeprefix("Bearer "))}
    return tuple(sorted((form for form in forms if len(form) >= SHORTEST), key=len, reverse=True))


def redacted(text: bytes, forms: Collection[str]) -> bytes:
    """The text without these secrets."""
    for form in forms:
        text = text.replace(form.encode("utf-8", "surrogateescape"), HIDDEN.encode())
    return text
