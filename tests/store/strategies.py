"""Any attempt that could be stored, for hypothesis."""

from hypothesis import strategies as st

from agentbench.core.attempt import Attempt, Score
from agentbench.core.trace import Failure, ModelCall, ToolCall, Trace, UserTurn

# Any Python string: U+0000, lone surrogates and the store's own escape among them.
text = st.text(st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\x00\ufdd0")))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(text, values, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(text, json_values, max_size=3)
messages = st.lists(json_objects, max_size=2).map(tuple)
nanoseconds = st.integers(-(2**62), 2**62)
tokens = st.none() | st.integers(0, 10**12)

model_calls = st.builds(
    ModelCall,
    messages=messages,
    request=json_objects,
    reply=json_objects,
    finish_reason=st.none() | text,
    intended_at=nanoseconds,
    sent_at=nanoseconds,
    ended_at=nanoseconds,
    chunk_at=st.lists(nanoseconds, max_size=3).map(tuple),
    chunk_tokens=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    silent_chunks=st.integers(0, 3),
    prompt_tokens=tokens,
    cached_tokens=tokens,
    completion_tokens=tokens,
    error=st.none() | text,
)
tool_calls = st.builds(
    ToolCall,
    call_id=text,
    name=text,
    arguments=json_objects,
    started_at=nanoseconds,
    ended_at=nanoseconds,
    executed=st.booleans(),
    result=st.none() | text,
    error=st.none() | text,
)
user_turns = st.builds(UserTurn, messages=messages, state=json_values, started_at=nanoseconds, ended_at=nanoseconds)
failures = st.builds(Failure, kind=st.sampled_from(["infra", "budget"]), message=text, detail=text)
attempts = st.builds(
    Attempt,
    case_id=text,
    cluster=text,
    repeat=st.integers(0, 9),
    seed=st.integers(0, 2**63 - 1),
    tries=st.integers(1, 5),
    started_at=nanoseconds,
    ended_at=nanoseconds,
    wall_anchor_ns=nanoseconds,
    trace=st.builds(
        Trace,
        steps=st.lists(model_calls | tool_calls | user_turns, max_size=4).map(tuple),
        output=text,
        state=json_values,
        cold_start_ns=st.none() | st.integers(0, 10**12),
    ),
    failure=st.none() | failures,
    scores=st.lists(
        st.builds(Score, name=text, value=st.floats(0, 1), passed=st.none() | st.booleans(), reason=text), max_size=2
    ).map(tuple),
    passed=st.none() | st.booleans(),
)
