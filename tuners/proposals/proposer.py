"""Instructions that a model proposes from failing cases; one is accepted if it improves the score on a minibatch."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.protocols import ChatRequest
from agentbench.core.study import ProposalRecord
from tuners.proposals.proposal_model import TOOLS, Host, NoAnswer, clean_instruction, proposal_messages, write
from tuners.search.budget import Spending, within
from tuners.search.candidate import Candidate, rank
from tuners.search.evaluator import Answers, Broken, Evaluator, OutOfBudget
from tuners.space.configuration import Configuration
from tuners.space.instructions import Propose, ProposingModel, slot_of
from tuners.space.space import Settings, Space


class ProposalStore(Protocol):
    """Stores a study's proposals, for all its workers."""

    def proposals(self, study: str) -> Sequence[ProposalRecord]: ...

    def keep_proposal(self, proposal: ProposalRecord) -> None:
        """Stores the proposal, unless there is one with the same slot and number."""
        ...


class ProposalEvaluator(Evaluator, Protocol):
    """An evaluator that also has the attempts and the values of a configuration."""

    def attempts(self, configuration: Configuration) -> Sequence[Attempt]:
        """The search's attempts under this configuration that did not fail."""
        ...

    def value_at(self, path: str, settings: Settings) -> object:
        """The value at a path under these settings: theirs, or else the baseline's, or else the suite's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTry:
    """The number of a try at a parameter's slot, with the options of the proposing model."""

    path: str
    slot: int
    number: int
    model: ProposingModel


class Proposer:
    """Replaces the slots in suggested settings by texts.

    A slot is resolved when a suggestion first has it, with the best candidate so far as its parent. Its text is the
    first accepted proposal, or the parent's own text after the last try. Proposals are stored, and no stored one is
    requested again. `train` has the cases that may be shown, in the order of the rungs. The minibatches' attempts are
    added to `spending`.
    """

    def __init__(
        self,
        study: str,
        space: Space,
        train: Mapping[str, Case],
        evaluator: ProposalEvaluator,
        host: Host,
        store: ProposalStore,
        spending: Spending,
        seed: int,
    ) -> None:
        self._study = study
        self._models = {
            path: each.propose.model
            for path, each in space.parameters.items()
            if isinstance(each, Propose) and each.propose.model is not None
        }
        self._train = train
        self._evaluator = evaluator
        self._host = host
        self._store = store
        self._spending = spending
        self._seed = seed

    async def __call__(self, settings: Settings, candidates: Sequence[Candidate]) -> Settings:
        slots = {path: slot for path in self._models if (slot := slot_of(settings.get(path))) is not None}
        if not slots:
            return settings
        parent = self._evaluator.configuration(parent_of(candidates))
        return {**settings, **{path: await self._text(path, slot, parent) for path, slot in slots.items()}}

    async def _text(self, path: str, slot: int, parent: Configuration) -> str | None:
        """The slot's text, from stored proposals or new ones; the parent's text when the budget is exhausted."""
        model = self._models[path]
        while True:
            proposals = self._proposals(path, slot)
            if accepted := next((each for each in proposals if each.accepted), None):
                return accepted.text
            if len(proposals) >= model.tries:
                return proposals[-1].parent
            if self._spending.exhausted:
                return self._text_at(path, parent)
            slot_try = SlotTry(path=path, slot=slot, number=len(proposals), model=model)
            try:
                async with within(self._spending.allowance().seconds):
                    proposal = await self._propose(slot_try, parent)
            except OutOfBudget:
                return self._text_at(path, parent)
            self._store.keep_proposal(proposal)

    def _proposals(self, path: str, slot: int) -> list[ProposalRecord]:
        """The slot's stored proposals, by number."""
        found = [each for each in self._store.proposals(self._study) if (each.path, each.slot) == (path, slot)]
        return sorted(found, key=lambda each: each.number)

    def _text_at(self, path: str, parent: Configuration) -> str | None:
        value = self._evaluator.value_at(path, parent.settings)
        return value if isinstance(value, str) else None

    async def _propose(self, slot_try: SlotTry, parent: Configuration) -> ProposalRecord:
        """One proposal, compared with its parent on a minibatch."""
        chance = random.Random(f"{self._seed} {slot_try.path} {slot_try.slot} {slot_try.number}")
        record = ProposalRecord(
            study=self._study,
            path=slot_try.path,
            slot=slot_try.slot,
            number=slot_try.number,
            parent=self._text_at(slot_try.path, parent),
            minibatch=self._minibatch(slot_try.model.minibatch, parent, chance),
            created_at=datetime.now(UTC),
        )
        try:
            return await self._evaluated(record, slot_try.model, parent, chance.getrandbits(31))
        except Broken as broken:
            self._spending.case_runs += broken.fresh
            return replace(record, note=f"the server broke: {broken}")

    async def _evaluated(
        self, record: ProposalRecord, model: ProposingModel, parent: Configuration, seed: int
    ) -> ProposalRecord:
        """The record with the proposed text and both scores on the minibatch."""
        before = await self._answers(parent, record.minibatch)
        record = replace(record, parent_score=_mean(before.scores, before.scores))
        text, note = await self._write(record, model, parent, seed)
        if note:
            return replace(record, text=text, note=note)
        changed = self._evaluator.configuration({**parent.settings, record.path: text})
        after = await self._answers(changed, record.minibatch)
        return _with_scores(replace(record, text=text), before, after)

    def _minibatch(self, size: int, parent: Configuration, chance: random.Random) -> tuple[str, ...]:
        """A random minibatch; at least one case is a failure of the parent, if it has answered all of train."""
        drawn = list(self._train)
        chance.shuffle(drawn)
        chosen = drawn[:size]
        attempts = self._evaluator.attempts(parent)
        failed = {each.case_id for each in attempts if each.passed is False}
        if self._train.keys() <= {each.case_id for each in attempts} and failed and not failed & set(chosen):
            chosen[-1] = next(case_id for case_id in drawn if case_id in failed)
        return tuple(chosen)

    async def _write(
        self, record: ProposalRecord, model: ProposingModel, parent: Configuration, seed: int
    ) -> tuple[str, str]:
        """The proposed text, and why it is rejected without a test ("" when it is not)."""
        failing = self._failing(record.minibatch, parent, model.failures)
        if not failing:
            return "", "its parent failed no case of the minibatch"
        request = ChatRequest(
            messages=proposal_messages(record.parent, failing),
            temperature=model.temperature,
            max_tokens=model.max_tokens,
            seed=seed,
        )
        try:
            text = clean_instruction(await write(model, self._host, parent, request))
        except NoAnswer as error:
            return "", f"the model did not answer: {error}"
        return text, _rejection(text, record.parent)

    def _failing(self, minibatch: Sequence[str], parent: Configuration, most: int) -> list[tuple[Case, Attempt]]:
        """At most `most` cases of the minibatch that the parent failed, each with its failing attempt."""
        failed: dict[str, Attempt] = {}
        for attempt in self._evaluator.attempts(parent):
            if attempt.passed is False and attempt.case_id in minibatch:
                failed.setdefault(attempt.case_id, attempt)
        return [(self._train[case_id], failed[case_id]) for case_id in minibatch if case_id in failed][:most]

    async def _answers(self, configuration: Configuration, cases: Sequence[str]) -> Answers:
        """The answers to all of the cases; raises `OutOfBudget` when the budget does not suffice."""
        answers = await self._evaluator.answer(configuration, cases, self._spending.allowance())
        self._spending.case_runs += answers.fresh
        if not answers.complete:
            raise OutOfBudget
        return answers


def parent_of(candidates: Sequence[Candidate]) -> Settings:
    """The settings of the best finished candidate that meets the constraints, or else of the best; {} without one."""
    finished = [each for each in candidates if each.end == "finished"]
    best = max([each for each in finished if each.meets] or finished, key=rank, default=None)
    return best.settings if best else {}


def _with_scores(record: ProposalRecord, before: Answers, after: Answers) -> ProposalRecord:
    """The record with both means over the cases that both answered; it is accepted when `after` has the higher one."""
    score, parent_score = _mean(after.scores, before.scores), _mean(before.scores, after.scores)
    accepted = score is not None and parent_score is not None and score > parent_score
    return replace(record, score=score, parent_score=parent_score, accepted=accepted)


def _mean(scores: Mapping[str, float], others: Mapping[str, float]) -> float | None:
    """The mean of `scores` over the cases that are also in `others`; None without any."""
    shared = [score for case_id, score in scores.items() if case_id in others]
    return sum(shared) / len(shared) if shared else None


def _rejection(text: str, parent: str | None) -> str:
    """Why a text is rejected without a test; "" when it is not."""
    if not text:
        return "the model wrote nothing"
    if text == parent:
        return "it equals its parent's text"
    return f"{TOOLS} is missing in it" if TOOLS in (parent or "") and TOOLS not in text else ""
