import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from serving.checkpoint.checkpoint import UnfusedWeights, load_checkpoint
from serving.checkpoint.gguf import GGUFFile
from serving.checkpoint.gguf_reader import GGUFContent, read_gguf
from serving.config import EngineConfig
from serving.core import ModelLoadError
from serving.engine.loading import load_model
from serving.model.weights import Matrix, matrix_of
from tests.serving.checkpoint.gguf_models import write_gguf_model
from tests.serving.conftest import CheckpointMaker

HIDDEN, HEADS = 8, 2
Q_ROWS = np.arange(HIDDEN * HIDDEN, dtype=np.float32).reshape(HIDDEN, HIDDEN)


def write_gguf(path: Path, architecture: str = "llama", scaling: str | None = None, pre: str = "smollm") -> Path:
    """A GGUF file with a tokenizer and one projection."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(16)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    if scaling is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(["<|im_end|>", "a", "b", "1", "ab", "11"])
    writer.add_token_types([3, 1, 1, 1, 1, 1])
    writer.add_token_merges(["a b", "1 1"])
    writer.add_eos_token_id(0)
    rows = Q_ROWS.reshape(HEADS, 2, HIDDEN // HEADS // 2, HIDDEN).swapaxes(1, 2).reshape(HIDDEN, HIDDEN)
    writer.add_tensor("blk.0.attn_q.weight", np.ascontiguousarray(rows))
    writer.add_tensor("blk.0.attn_v.weight", Q_ROWS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_rows_of_a_gguf_projection_are_reordered(tmp_path: Path) -> None:
    weights = load_checkpoint(write_gguf(tmp_path / "m.gguf")).weights
    for name in ("q_proj", "v_proj"):
        tensor = weights.get(f"model.layers.0.self_attn.{name}.weight")
        assert torch.equal(tensor, torch.from_numpy(Q_ROWS))


def test_gguf_tokenizer_splits_digits(tmp_path: Path) -> None:
    tokenizer = load_checkpoint(write_gguf(tmp_path / "m.gguf")).tokenizer
    assert tokenizer.encode("ab11<|im_end|>") == [4, 3, 3, 0]
    assert tokenizer.eos_ids == {0}


def test_a_truncated_gguf_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "m.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    for size in range(4, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelLoadError) as caught:
            load_checkpoint(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_corrupt_gguf_raises_only_a_load_error(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "m.gguf").read_bytes()
    path = tmp_path / "corrupt.gguf"
    loaded = 0
    for offset in range(4, 900, 23):
        path.write_bytes(whole[:offset] + b"\xff" * 4 + whole[offset + 4 :])
        with suppress(ModelLoadError):
            load_checkpoint(path)
            loaded += 1
    assert loaded < len(range(4, 900, 23)) / 2, "most such changes are seen"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"architecture": "mamba"},
            "architecture 'mamba' is not supported. Supported: gemma3, llama, mistral, phi3, qwen2, qwen3",
        ),
        ({"architecture": "mistral"}, "architecture 'mistral' is not supported"),
        ({"scaling": "longrope"}, "tensor 'rope_factors_short.weight' is missing"),
        ({"pre": "martian"}, "pre-tokenizer 'martian' is not supported"),
    ],
)
def test_an_unsupported_gguf_names_the_cause(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        load_checkpoint(write_gguf(tmp_path / "m.gguf", **settings))


@pytest.mark.parametrize("wrong", [None, -5, 0, "128", float("inf"), float("nan"), [1.0], True])
@pytest.mark.parametrize("factors", ["rope_freqs.weight", "rope_factors_short.weight", ""])
def test_any_rotary_key_of_a_gguf_loads_or_is_one_line(
    factors: str, wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "m.gguf", scaling="longrope" if factors else "yarn")
    content = read_gguf(path)
    tensors = {**content.tensors, **({factors: content.tensors["blk.0.attn_v.weight"]} if factors else {})}
    for key in ("type", "factor", "original_context_length", "attn_factor", "yarn_attn_factor", "yarn_beta_fast"):
        metadata = {**content.metadata, "llama.rope.scaling.factor": 4.0, f"llama.rope.scaling.{key}": wrong}
        changed = GGUFContent(metadata=metadata, tensors=tensors)
        monkeypatch.setattr("serving.checkpoint.gguf.read_gguf", lambda path, changed=changed: changed)
        with suppress(ModelLoadError):
            assert GGUFFile(path).config.architecture == "llama"


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.gguf"
    path.write_text("hello")
    with pytest.raises(ModelLoadError, match="not a GGUF file"):
        load_checkpoint(path)
    with pytest.raises(ModelLoadError, match=r"nowhere: cannot be read \(No such file"):
        load_checkpoint(tmp_path / "nowhere")


def copy(directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def change_config(directory: Path, **changes: object) -> None:
    file = directory / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "architecture 'mamba' is not supported"),
        ({"rope_parameters": {"rope_type": "llama4"}}, "rope_type 'llama4' is not supported"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "the key 'factor' is missing"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
        ({"num_key_value_heads": 4}, "6 heads cannot share 4 KV heads"),
    ],
)
def test_an_unsupported_directory_names_the_cause(
    tiny_model: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    directory = copy(tiny_model, tmp_path)
    change_config(directory, **changes)
    with pytest.raises(ModelLoadError, match=message):
        load_checkpoint(directory)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"\x10\0\0\0", "truncated or corrupt"),
        ("config.json", b"{", "not valid JSON"),
        ("config.json", b"[]", "a JSON object was expected"),
        ("config.json", b'{"model_type": "llama"}', "'num_attention_heads' is missing"),
        ("tokenizer.json", b"{}", "not a tokenizer"),
        ("tokenizer.json", None, "no such file"),
        ("model.safetensors", None, r"no \*.safetensors file"),
    ],
)
def test_a_broken_directory_names_the_file(
    tiny_model: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    directory = copy(tiny_model, tmp_path)
    if content is None:
        (directory / name).unlink()
    else:
        (directory / name).write_bytes(content)
    with pytest.raises(ModelLoadError, match=message) as caught:
        load_checkpoint(directory)
    assert str(directory) in str(caught.value)


def test_a_directory_loads(make_checkpoint: CheckpointMaker) -> None:
    checkpoint = load_checkpoint(make_checkpoint(tie_word_embeddings=False))
    assert not checkpoint.config.tie_embeddings
    assert checkpoint.config.head_dim == 8
    assert checkpoint.tokenizer.eos_ids == {256}
    assert checkpoint.tokenizer.chat_template == "{{ messages }}"


SMALL = EngineConfig(device="cpu", kv_cache_memory_mb=1, dtype="float32")


def load_error(model: Path) -> str:
    """The message of the load error; empty if the model loads."""
    try:
        load_model(model, SMALL)
    except ModelLoadError as error:
        return str(error)
    return ""


WRONG: list[Any] = [None, -5, 0, "128", 2**40, 2**70, 1.5, 1e400, True, [], {}, [1], {"a": 1}, "x" * 500]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:20])
def test_any_value_of_any_key_loads_or_is_an_error_of_one_line(tiny_model: Path, tmp_path: Path, wrong: Any) -> None:
    """No other exception is raised, and a context of any length takes no memory."""
    directory = copy(tiny_model, tmp_path)
    files = {name: json.loads((directory / name).read_text()) for name in ("config.json", "tokenizer_config.json")}
    more = {"config.json": ["head_dim", "rope_scaling", "text_config"], "tokenizer_config.json": ["eos_token"]}
    for name, content in files.items():
        for key in (*content, *more[name]):
            (directory / name).write_text(json.dumps({**content, key: wrong}))
            assert "\n" not in load_error(directory)
        (directory / name).write_text(json.dumps(content))


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:20])
def test_any_value_of_any_key_of_a_gguf_loads_or_is_an_error_of_one_line(
    tiny_model: Path, tmp_path: Path, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = read_gguf(write_gguf_model(tiny_model, tmp_path / "m.gguf"))
    optional = (
        "general.alignment",
        "llama.rope.scaling.type",
        "tokenizer.chat_template",
        "tokenizer.ggml.bos_token_id",
    )
    for key in (*content.metadata, *optional):
        changed = GGUFContent(metadata={**content.metadata, key: wrong}, tensors=content.tensors)
        monkeypatch.setattr("serving.checkpoint.gguf.read_gguf", lambda path, changed=changed: changed)
        assert "\n" not in load_error(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_position_embeddings", 2**31 - 1), ("max_position_embeddings", 2**31)],
)
def test_the_context_is_limited_to_the_size_of_the_cache(
    tiny_model: Path, tmp_path: Path, key: str, value: int
) -> None:
    directory = copy(tiny_model, tmp_path)
    change_config(directory, **{key: value})
    loaded = load_model(directory, SMALL)
    assert loaded.max_model_len < 10_000


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_pipe_in_place_of_a_file_is_refused_without_blocking(tiny_model: Path, tmp_path: Path, name: str) -> None:
    directory = copy(tiny_model, tmp_path)
    (directory / name).unlink()
    os.mkfifo(directory / name)
    with pytest.raises(ModelLoadError, match="not a regular file"):
        load_checkpoint(directory)
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ModelLoadError, match="neither a file nor a directory"):
        load_checkpoint(tmp_path / "pipe.gguf")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_json_that_is_nested_too_deep_is_refused(tiny_model: Path, tmp_path: Path, name: str) -> None:
    directory = copy(tiny_model, tmp_path)
    (directory / name).write_text("[" * 100_000)
    with pytest.raises(ModelLoadError, match="nested too deep"):
        load_checkpoint(directory)


@pytest.mark.parametrize("id_", [2**32 - 1, 2**23, 300])
def test_an_end_of_sequence_that_the_vocabulary_lacks_is_refused(tiny_model: Path, tmp_path: Path, id_: int) -> None:
    directory = copy(tiny_model, tmp_path)
    for name in ("config.json", "generation_config.json"):
        (directory / name).write_text(json.dumps({**json.loads((directory / name).read_text()), "eos_token_id": id_}))
    with pytest.raises(ModelLoadError, match=f"token {id_}, which the vocabulary lacks"):
        load_checkpoint(directory)


@pytest.mark.parametrize("id_", [2**32 - 1, 2**22])
def test_a_huge_token_id_is_refused_and_takes_no_memory(tiny_model: Path, tmp_path: Path, id_: int) -> None:
    directory = copy(tiny_model, tmp_path)
    content = json.loads((directory / "tokenizer.json").read_text())
    content["model"]["vocab"]["stranger"] = id_
    (directory / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelLoadError, match=f"token id {id_}"):
        load_checkpoint(directory)


QKV = "model.layers.1.self_attn.qkv_proj"


class TensorWeights(dict[str, torch.Tensor]):
    """`Weights` from a dictionary of tensors."""

    def get(self, name: str, default: object = None, /) -> torch.Tensor:
        return self[name]

    def matrix(self, name: str) -> Matrix:
        return matrix_of(name, self[name])


def test_a_fused_layer_has_the_rows_of_its_parts(make_checkpoint: CheckpointMaker) -> None:
    checkpoint = load_checkpoint(make_checkpoint("phi3"))
    weights = checkpoint.weights
    parts = [f"model.layers.1.self_attn.{name}_proj.weight" for name in "qkv"]
    together = torch.cat([weights.matrix(part).rows(0, weights.matrix(part).shape[0]) for part in parts])
    assert torch.equal(together, weights.get(f"{QKV}.weight"))
    assert torch.equal(together, torch.cat([weights.get(part) for part in parts]))
    assert "model.layers.1.self_attn.q_proj.bias" not in weights


def test_a_layer_that_is_not_fused_is_unchanged(make_checkpoint: CheckpointMaker) -> None:
    config = load_checkpoint(make_checkpoint("phi3")).config
    name = "model.layers.0.mlp.up_proj.weight"
    weights = UnfusedWeights(TensorWeights({name: torch.ones(2, 2)}), config)
    assert name in weights
    assert torch.equal(weights.get(name), torch.ones(2, 2))


def test_a_fused_layer_of_another_size_is_named(make_checkpoint: CheckpointMaker) -> None:
    config = load_checkpoint(make_checkpoint("phi3")).config
    weights = UnfusedWeights(TensorWeights({f"{QKV}.bias": torch.ones(7)}), config)
    with pytest.raises(ModelLoadError, match=f"tensor '{QKV}.bias' has 7 rows, the model's configuration says 80"):
        weights.get("model.layers.1.self_attn.k_proj.bias")
