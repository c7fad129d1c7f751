"""How many functions a candidate's settings pass from the suggestion to its first stored answer.

`python docs/notes/settings_stops.py [--whole] [-v]` in the root of a checkout. A study of two parameters runs on the
scripted backend under `sys.setprofile`. A stop is a function that is called with the settings: in a mapping, or in a
frozen value that has them or that was made of them. The making of a configuration is one stop, and so is each function
of the harness that the tuner calls; `--whole` counts what is inside of those too. `-v` names the stops.
"""

import asyncio
import dataclasses
import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, ModuleType

KEY, MARK = "system_prompt", "Answer in one word, as a candidate does."
SUITE = "name: toy\ndataset: {name: jsonl, path: cases.jsonl}\nscorers: [exact]\nagent: chat\nbackend: scripted\n"
STUDY = f"""name: stops
split: {{test: 4}}
budget: {{trials: 2}}
objectives: [quality]
rungs: {{opening: 1, together: 1}}
space:
  agent.{KEY}: ["{MARK}"]
  agent.temperature: {{low: 0.1, high: 1.0}}
"""
ROOT = Path.cwd()
MAKES = "LiveEvaluator.configuration"
DEPTH = 5


def carries(value: object, depth: int = DEPTH) -> bool:
    """Whether the settings are in the value: the mark under its key, in mappings and frozen values."""
    if depth == 0:
        return False
    if isinstance(value, Mapping):
        own = any(each == MARK and str(key).endswith(KEY) for key, each in value.items())
        return own or any(carries(each, depth - 1) for each in value.values())
    if isinstance(value, list | tuple):
        return any(carries(each, depth - 1) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return carries({each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}, depth)
    if hasattr(type(value), "model_fields"):
        return carries({**value.__dict__, **(getattr(value, "__pydantic_extra__", None) or {})}, depth)
    return False


def is_inside(frame: FrameType, package: str) -> bool:
    """Whether it is a part of another stop: of what the tuner called of the harness, or of a configuration's making."""
    caller = frame.f_back
    while caller is not None and not caller.f_code.co_filename.startswith(str(ROOT)):
        caller = caller.f_back
    if package == "agentbench" and caller and not caller.f_code.co_filename.startswith(str(ROOT / "tuners")):
        return True
    while caller is not None:
        if caller.f_code.co_qualname == MAKES:
            return True
        caller = caller.f_back
    return False


class Stops:
    """Calls by module and function, from the suggestion on, until `over`."""

    def __init__(self, *, whole: bool) -> None:
        self.calls: dict[tuple[str, str], int] = {}
        self.whole = whole
        self.begun = self.over = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "return" and code.co_name == "suggest" and carries(argument):
            self.begun = True
        if event != "call" or not self.begun or self.over or not code.co_filename.startswith(str(ROOT)):
            return
        path = Path(code.co_filename).relative_to(ROOT)
        if path.parts[0] not in ("tuners", "agentbench") or code.co_name.startswith("<"):
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if not any(carries(frame.f_locals.get(name)) for name in names if name != "self"):
            return
        if self.whole or not is_inside(frame, path.parts[0]):
            key = (str(path), code.co_qualname)
            self.calls[key] = self.calls.get(key, 0) + 1

    def __str__(self) -> str:
        modules = {path for path, _ in self.calls}
        return f"{len(self.calls)} functions in {len(modules)} modules, {sum(self.calls.values())} calls"


class Watcher:
    """Ends the count with the first attempt that is stored after the suggestion."""

    def __init__(self, stops: Stops) -> None:
        self._stops = stops

    def spend(self, *_: object) -> None: ...

    def begin(self, phase: str) -> None: ...

    def climb(self, climb: object) -> None: ...

    def end(self, candidate: object) -> None: ...

    def attempt(self) -> None:
        self._stops.over = self._stops.begun


def first_of(*names: str) -> ModuleType:
    """The module by its name now, or by an older one."""
    for name in names[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    return importlib.import_module(names[-1])


def count(stops: Stops) -> None:
    from agentbench.store import open_store

    study, verb = first_of("tuners.study.study", "tuners.study"), importlib.import_module("tuners.tune")
    run_study = getattr(verb, "run_study", None) or verb.tune
    Path("suite.yaml").write_text(SUITE)
    Path("study.yaml").write_text(STUDY)
    Path("cases.jsonl").write_text("".join(f'{{"id": "c{i}", "input": "{i}", "expected": "a"}}\n' for i in range(8)))
    made = study.make_study(Path("study.yaml"), {})
    with open_store("store.db") as store:
        study.store_study(made, store)
        threading.setprofile(stops)
        sys.setprofile(stops)
        try:
            asyncio.run(run_study(made, store, "store.db", Watcher(stops), judged=False))
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def main() -> None:
    sys.path.insert(0, str(ROOT))
    stops = Stops(whole="--whole" in sys.argv)
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            count(stops)
        finally:
            os.chdir(ROOT)
    if "-v" in sys.argv:
        for (path, name), times in stops.calls.items():
            print(f"{times:4} {path}: {name}")
    print(stops)


if __name__ == "__main__":
    main()
