"""Checks a study before anything starts: each path of its space fits the suite, and each model is present."""

from collections.abc import Iterator
from typing import Any

from agentbench.core.errors import UserError
from agentbench.core.protocols import ChecksItself
from agentbench.extras import needs
from agentbench.references import beside
from agentbench.suite import registry
from agentbench.suite.check import check_model, step_servers
from agentbench.suite.config import Component
from agentbench.suite.suite import Suite
from agentbench.tools import load_tools
from tuners.space.configuration import configured, needs_server
from tuners.space.instructions import Propose, ProposingModel
from tuners.space.parameters import Condition
from tuners.space.space import Settings, Space
from tuners.study.file import StudyFile, Where

FIXED = ("run.seed", "run.limit", "run.sample_seed", "run.repeats")
"""Paths that the study itself decides: they define the measurement, so they can't be tuned."""


def check_study(study: StudyFile, suite: Suite, where: Where) -> None:
    """`UserError` for the first part of the study that could not run: a path, a value, a model or a missing price."""
    needs("optuna", "tuning", "tune")
    load_tools(suite.tools, suite.root)
    if study.sampler == "gp":
        needs("torch", "the sampler gp", "serving")
    _check("baseline", study.baseline, suite, where(("baseline",)))
    for name, settings in study.references.items():
        _check(name, {**study.baseline, **settings}, suite, where(("references", name)))
    if study.wants_cost:
        _check_prices(study, suite, where)
    for path, settings in example_settings(study.parameters()):
        place = f"{where(('space', path))}: space.{path}"
        if path in FIXED:
            raise UserError(f"{place}: not a path to tune, since the study itself sets {', '.join(FIXED)}")
        _check(path, {**study.baseline, **settings}, suite, place)
    for path, parameter in study.space.items():
        if isinstance(parameter, Propose) and parameter.propose.model is not None:
            _check_proposing_model(parameter.propose.model, f"{where(('space', path))}: space.{path}.propose")


def _check(path: str, settings: Settings, suite: Suite, place: str) -> None:
    try:
        found = configured(suite, settings)
        if needs_server(found.config.backend):
            _check_server(found.config.serving)
        with beside(suite.root):
            registry.build("agents", found.config.agent, prefix=("agent",))
        for server in step_servers(found.config.agent):
            _check_server(server)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


def _check_prices(study: StudyFile, suite: Suite, where: Where) -> None:
    """`UserError` for a model that may answer and has no price: it would look cheapest."""
    prices = study.all_prices(suite)
    wanted = ({}, *study.references.values(), *(settings for _, settings in example_settings(study.parameters())))
    for settings in wanted:
        for model in _models(suite, {**study.baseline, **settings}):
            if not {"prompt", "completion"} <= prices.get(model, {}).keys():
                raise UserError(
                    f"{where(('prices',))}: cost needs the price of a million prompt and of a million completion tokens"
                    f" of {model or 'a model that serving.model names'}, for example prices: {{{model or 'MODEL'}:"
                    f" {{prompt: 0.1, completion: 0.4}}}}. Models with a price: {', '.join(prices) or 'none'}"
                )


def _models(suite: Suite, settings: Settings) -> list[str]:
    """The models that answer under the settings: the candidate's, and those of its agent's steps; "" for a model
    without a name.
    """
    try:
        config = configured(suite, settings).config
    except UserError:
        return []  # the check of the space reports it
    servers = (config.serving, *step_servers(config.agent))
    return [str(server.options.get("model", "")) for server in servers]


def _check_proposing_model(model: ProposingModel, place: str) -> None:
    try:
        check_model(model.serving, model.backend, lambda location: place, ("model",))
        if model.serving is not None:
            _check_server(model.serving)
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(place) else f"{place}: {text}") from None


def _check_server(serving: Component) -> None:
    server = registry.build("servers", serving, prefix=("serving",))
    if isinstance(server, ChecksItself):
        server.check()


def example_settings(space: Space) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each example value of each parameter: its path, and settings with the value that meet its condition."""
    for path, parameter in space.parameters.items():
        for value in parameter.examples:
            yield path, {**_conditions(parameter.when, space), path: value}


def _conditions(when: Condition, space: Space) -> dict[str, Any]:
    """Settings that meet a condition, and the conditions of the parameters that it names."""
    found: dict[str, Any] = {}
    for path, values in when.items():
        found |= _conditions(space.parameters[path].when, space)
        found[path] = values[0]
    return found
