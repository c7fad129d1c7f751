"""Compares the default model's greedy output in float32 under 12 settings of lossless knobs. 100 prompts; every output
must be equal.

python results/benchmarks/lossless.py MODEL.gguf
"""

import random
import sys
import time
from pathlib import Path
from typing import Any

from serving import EngineConfig, LLMEngine, Request, SamplingParams, TokenDelta

PROMPTS, NEW_TOKENS = 100, 24
SETTINGS: list[dict[str, Any]] = [
    {},
    {"max_num_seqs": 7},
    {"max_num_batched_tokens": 64},
    {"max_num_batched_tokens": 333, "max_num_seqs": 20},
    {"chunked_prefill": False, "max_num_batched_tokens": 128},
    {"prefix_cache": False},
    {"speculative": "ngram"},
    {"speculative": "ngram", "num_speculative_tokens": 9, "max_num_seqs": 5},
    {"threads": 1},
    {"block_size": 32},
    {"kv_cache_memory_mb": 64, "max_model_len": 1024},
    {"compile": False},
]
WORDS = "the a weather in of city call function area number list tree river returns with seven blue and or not"


def prompts(engine: LLMEngine) -> list[list[int]]:
    rng = random.Random(0)
    texts = (" ".join(rng.choices(WORDS.split(), k=rng.randrange(10, 90))) for _ in range(PROMPTS))
    return [engine.tokenizer.encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n") for text in texts]


def answers(model: Path, knobs: dict[str, Any]) -> list[list[int]]:
    engine = LLMEngine.load(model, EngineConfig(dtype="float32", **knobs))
    results: list[list[int]] = []
    for index, prompt in enumerate(prompts(engine)):
        results.append([])

        def take(delta: TokenDelta, tokens: list[int] = results[-1]) -> None:
            tokens.extend(delta.token_ids)

        params = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True)
        engine.add(Request(id=str(index), prompt_ids=prompt, params=params, on_delta=take))
    while engine.has_work:
        engine.step()
    return results


def main() -> int:
    model, expected, differing = Path(sys.argv[1]), None, 0
    for knobs in SETTINGS:
        start = time.perf_counter()
        got = answers(model, knobs)
        expected = expected or got
        different = sum(a != b for a, b in zip(got, expected, strict=True))
        differing += different
        print(f"{PROMPTS - different:3} of {PROMPTS} equal  {time.perf_counter() - start:5.1f} s  {knobs}", flush=True)
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
