"""What becomes of a body's text, for a model whose texts begin with a token of their own."""

import pytest

from serving.openai_api import ChatBody, CompletionBody
from serving.preparation import Preparation
from tests.serving.fake_engine import ByteTokenizer, FakeEngine

BEGINNING = 255


class BeginningTokenizer(ByteTokenizer):
    def encode(self, text: str, add_special: bool = False) -> list[int]:
        return [BEGINNING] * add_special + super().encode(text)


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.tokenizer = BeginningTokenizer()
    return engine


@pytest.mark.parametrize("prompt", ["hello", ["hello"]])
def test_a_text_to_complete_begins_as_the_models_texts_do(engine: FakeEngine, prompt: str | list[str]) -> None:
    prepared = Preparation(engine).completion(CompletionBody(model="m", prompt=prompt))
    assert prepared.prompt_ids == [BEGINNING, *engine.tokenizer.encode("hello")]


def test_token_ids_are_taken_as_they_are(engine: FakeEngine) -> None:
    assert Preparation(engine).completion(CompletionBody(model="m", prompt=[5, 6])).prompt_ids == [5, 6]


@pytest.mark.parametrize(("template", "begun"), [(None, True), ("{{ messages[0]['content'] }}", False)])
def test_a_models_own_template_writes_the_beginning_itself(
    engine: FakeEngine, template: str | None, begun: bool
) -> None:
    engine.tokenizer.chat_template = template
    body = ChatBody.model_validate({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
    assert (Preparation(engine).chat(body).prompt_ids[0] == BEGINNING) is begun
