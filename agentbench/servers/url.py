"""The `url` server: a running server at a URL."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.core.errors import UserError
from agentbench.core.protocols import Endpoint
from agentbench.credentials import StorableUrl, StorableValues
from agentbench.environment import variable
from agentbench.http.client import HttpClient, Target
from agentbench.http.json_answer import NoAnswer, model_names

OURS = ("messages", "stream")
"""Fields of a request that `extra_body` can't set."""


class UrlConfig(BaseModel):
    """Options of the `url` server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: StorableUrl = Field(description="Its base URL, up to and including /v1.", pattern=r"^https?://")
    model: str | None = Field(None, description="The model to request; the first one it lists by default.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable with the key.")
    headers: StorableValues = Field(default_factory=dict, description="Sent with every request.")
    headers_env: Mapping[str, str] = Field(
        default_factory=dict, description="Header to the environment variable that holds its value."
    )
    query: StorableValues = Field(default_factory=dict, description="Parameters of every URL, such as api-version.")
    query_env: Mapping[str, str] = Field(
        default_factory=dict, description="Parameter to the environment variable that holds its value."
    )
    extra_body: Mapping[str, Any] = Field(
        default_factory=dict, description="Set in every request's body; a field that is null is left out of it."
    )
    rename: Mapping[str, str] = Field(
        default_factory=dict, description="Fields it knows by another name: {max_tokens: max_completion_tokens}."
    )
    continuous_usage: bool = Field(False, description="Ask for token counts in every chunk (bundled, vLLM).")
    connect_timeout_s: float = Field(10.0, gt=0)

    @field_validator("extra_body", "rename")
    @classmethod
    def _not_ours(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if found := next((name for name in OURS if name in value), None):
            raise ValueError(f"{found} can't be set: every request has its own")
        return value


class UrlServer:
    """Neither started nor stopped; its list of models is read once, so that a wrong URL shows at once."""

    Config = UrlConfig
    lossless_knobs: frozenset[str] = frozenset()

    def __init__(self, config: UrlConfig) -> None:
        self._config = config

    async def start(self, log_path: Path) -> Endpoint:
        endpoint = self._endpoint()
        served = await self._served_models(endpoint)
        model = self._config.model or next(iter(served), None)
        if model is None:
            raise UserError(f"{endpoint.base_url} lists no model; name one with --set serving.model=NAME")
        return self._endpoint(model)

    def _endpoint(self, model: str = "") -> Endpoint:
        config = self._config
        base_url, _, query = config.base_url.partition("?")
        return Endpoint(
            base_url=base_url,
            model=model,
            api_key=_printable("api_key_env", config.api_key_env, variable(config.api_key_env) or "none"),
            continuous_usage=config.continuous_usage,
            headers={**config.headers, **_held("headers_env", config.headers_env)},
            query={**dict(parse_qsl(query)), **config.query, **_held("query_env", config.query_env)},
            renamed=config.rename,
            extra_body=config.extra_body,
            info={"server": "url", "base_url": config.base_url},
        )

    async def _served_models(self, endpoint: Endpoint) -> list[str]:
        """Empty when the server has no list; `UserError` when nothing responds."""
        url = endpoint.base_url
        client = HttpClient(Target.of(endpoint), self._config.connect_timeout_s)
        try:
            return await model_names(client)
        except NoAnswer as error:
            if not error.status:
                raise UserError(f"{url} can't be reached: {error}. Is the server running?") from None
            if error.status in (401, 403):
                raise UserError(f"{url} refused the key in {self._config.api_key_env}: {error}") from None
            if 300 <= error.status < 400:
                raise UserError(f"{url} has {error}") from None
            return []
        finally:
            client.close()

    async def stop(self) -> None:
        return None


def _held(option: str, names: Mapping[str, str]) -> dict[str, str]:
    """The values of the environment variables that `option` names."""
    return {key: _printable(f"{option}.{key}", name, variable(name)) for key, name in names.items()}


def _printable(option: str, name: str, value: str | None) -> str:
    if value is None:
        raise UserError(f"serving.{option} names {name}, which is not set; export it")
    if not value.strip().isprintable():
        raise UserError(f"serving.{option}: the value of {name} is not valid in a header; remove its line breaks")
    return value.strip()
