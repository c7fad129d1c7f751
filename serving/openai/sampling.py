"""From a body's parameters to the engine's."""

from collections.abc import Mapping

from serving.openai.bodies import ChatBody, SampledBody
from serving.openai.error import ApiError
from serving.request import SamplingParams


def sampling_params(body: SampledBody, max_tokens: int, logprobs: int | None, vocab_size: int) -> SamplingParams:
    """Raises `ApiError` (400) for a bias on a token that there is not."""
    return SamplingParams(
        temperature=_given(body.temperature, 1.0),
        top_p=_given(body.top_p, 1.0),
        top_k=max(0, body.top_k or 0),
        min_p=_given(body.min_p, 0.0),
        presence_penalty=_given(body.presence_penalty, 0.0),
        frequency_penalty=_given(body.frequency_penalty, 0.0),
        repetition_penalty=_given(body.repetition_penalty, 1.0),
        logit_bias=_logit_bias(body.logit_bias or {}, vocab_size),
        logprobs=logprobs,
        n=body.n or 1,
        seed=body.seed,
        max_tokens=max_tokens,
        stop=tuple(body.stop),
        ignore_eos=bool(body.ignore_eos),
    )


def chat_logprobs(body: ChatBody) -> int | None:
    """How many alternatives to report with each token; None where nothing is asked for."""
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError("top_logprobs needs logprobs=true.", param="top_logprobs", code="invalid_value")
    return (body.top_logprobs or 0) if body.logprobs else None


def _logit_bias(bias: Mapping[int, float], vocab_size: int) -> tuple[tuple[int, float], ...]:
    bad = next((token for token in bias if token >= vocab_size), None)
    if bad is not None:
        message = f"logit_bias: token {bad} is not in the vocabulary (0 to {vocab_size - 1})."
        raise ApiError(message, param="logit_bias", code="invalid_value")
    return tuple(bias.items())


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
