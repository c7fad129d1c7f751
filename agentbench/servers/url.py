"""A server that somebody else runs."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from agentbench.environment import variable
from agentbench.errors import UserError
from agentbench.protocols import Endpoint
from agentbench.transport.client import HttpClient, Target
from agentbench.transport.json_answer import NoAnswer, model_names


class UrlConfig(BaseModel):
    """Options of the `url` server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="Where it answers, up to and with /v1.", pattern=r"^https?://")
    model: str | None = Field(None, description="The model to ask for; the first one it lists by default.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")
    continuous_usage: bool = Field(False, description="Ask for token counts in every chunk (bundled, vLLM).")
    connect_timeout_s: float = Field(10.0, gt=0)


class UrlServer:
    """Neither started nor stopped: only asked once for its models, so that a wrong URL shows at once."""

    Config = UrlConfig
    lossless_knobs: frozenset[str] = frozenset()

    def __init__(self, config: UrlConfig) -> None:
        self._config = config

    async def start(self, log_path: Path) -> Endpoint:
        key = variable(self._config.api_key_env) or "none"
        served = await self._served_models(key)
        model = self._config.model or next(iter(served), None)
        if model is None:
            raise UserError(f"{self._config.base_url} lists no model; name one with --set serving.model=NAME")
        return Endpoint(
            base_url=self._config.base_url,
            model=model,
            api_key=key,
            continuous_usage=self._config.continuous_usage,
            info={"server": "url", "base_url": self._config.base_url},
        )

    async def _served_models(self, key: str) -> list[str]:
        """Empty where the server has no list; `UserError` when nothing answers."""
        url = self._config.base_url
        client = HttpClient(Target(base_url=url, api_key=key), self._config.connect_timeout_s)
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
