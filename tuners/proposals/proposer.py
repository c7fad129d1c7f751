"""Instructions that a model proposes from failing cases, accepted only if the same minibatch improves."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.protocols import ChatRequest
from agentbench.core.study import ProposalRecord
from tuners.proposals.proposal_model import TOOLS, Host, NoAnswer, cleaned, proposal_messages, write
from tuners.search.budget import Spending, within
from tuners.search.candidate import Candidate, rank
from tuners.search.evaluator import Answers, Broken, Evaluator, OutOfBudget
from tuners.space.configuration import Configuration
from tuners.space.instructions import Propose, ProposingModel, slot_of
from tuners.space.space import Settings, Space


class Kept(Protocol):
    """Keeps a study's proposals, for this worker and others."""

    def proposals(self, study: str) -> Sequence[ProposalRecord]: ...

    def keep_proposal(self, proposal: ProposalRecord) -> None:
        """One whose slot and number there is already is left as it is."""
        ...


class Tester(Evaluator, Protocol):
    """Answers cases, and knows what was answered."""

    def attempts(self, configuration: Configuration) -> Sequence[Attempt]:
        """What the search has of attempts under this configuration."""
        ...

    def value_at(self, path: str, settings: Settings) -> object:
        """What a path has under these settings: theirs, the baseline's or the suite's own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The slot of a parameter and the number of the try, with the options of its model."""

    path: str
    slot: int
    number: int
    model: ProposingModel


class Proposer:
    """Puts texts in the place of slots.

    A slot is resolved when it is first met, from the best candidate there is then: its text is the first proposal that
    was accepted, or its parent's after the last try. All that is kept; what is kept is never asked again. `train` has
    the cases that may be shown, in the order that rungs answer them. What the minibatches cost is added to `spending`.
    """

    def __init__(
        self,
        study: str,
        space: Space,
        train: Mapping[str, Case],
        tester: Tester,
        host: Host,
        kept: Kept,
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
        self._tester = tester
        self._host = host
        self._kept = kept
        self._spending = spending
        self._seed = seed

    async def __call__(self, settings: Settings, candidates: Sequence[Candidate]) -> Settings:
        slots = {path: slot for path in self._models if (slot := slot_of(settings.get(path))) is not None}
        if not slots:
            return settings
        parent = self._tester.configuration(parent_of(candidates))
        return {**settings, **{path: await self._text(path, slot, parent) for path, slot in slots.items()}}

    async def _text(self, path: str, slot: int, parent: Configuration) -> str | None:
        model = self._models[path]
        while True:
            tried = self._tried(path, slot)
            if accepted := next((each for each in tried if each.accepted), None):
                return accepted.text
            if len(tried) >= model.tries:
                return tried[-1].parent
            if self._spending.exhausted:
                return self._text_at(path, parent)
            place = Place(path=path, slot=slot, number=len(tried), model=model)
            try:
                async with within(self._spending.allowance().seconds):
                    proposal = await self._proposed(place, parent)
            except OutOfBudget:
                return self._text_at(path, parent)
            self._kept.keep_proposal(proposal)

    def _tried(self, path: str, slot: int) -> list[ProposalRecord]:
        found = [each for each in self._kept.proposals(self._study) if (each.path, each.slot) == (path, slot)]
        return sorted(found, key=lambda each: each.number)

    def _text_at(self, path: str, parent: Configuration) -> str | None:
        value = self._tester.value_at(path, parent.settings)
        return value if isinstance(value, str) else None

    async def _proposed(self, place: Place, parent: Configuration) -> ProposalRecord:
        """One proposal, held against its parent."""
        chance = random.Random(f"{self._seed} {place.path} {place.slot} {place.number}")
        record = ProposalRecord(
            study=self._study,
            path=place.path,
            slot=place.slot,
            number=place.number,
            parent=self._text_at(place.path, parent),
            minibatch=self._minibatch(place.model.minibatch, parent, chance),
            created_at=datetime.now(UTC),
        )
        try:
            return await self._tried_out(record, place.model, parent, chance.getrandbits(31))
        except Broken as broken:
            self._spending.case_runs += broken.fresh
            return replace(record, note=f"the server broke: {broken}")

    async def _tried_out(
        self, record: ProposalRecord, model: ProposingModel, parent: Configuration, seed: int
    ) -> ProposalRecord:
        before = await self._answers(parent, record.minibatch)
        record = replace(record, parent_score=_mean(before.scores, before.scores))
        text, note = await self._written(record, model, parent, seed)
        if note:
            return replace(record, text=text, note=note)
        changed = self._tester.configuration({**parent.settings, record.path: text})
        after = await self._answers(changed, record.minibatch)
        return _judged(replace(record, text=text), before, after)

    def _minibatch(self, size: int, parent: Configuration, chance: random.Random) -> tuple[str, ...]:
        """Drawn by chance; of a parent that has answered all of train, with one that it failed among them."""
        drawn = list(self._train)
        chance.shuffle(drawn)
        chosen = drawn[:size]
        attempts = self._tester.attempts(parent)
        failed = {each.case_id for each in attempts if each.passed is False}
        if self._train.keys() <= {each.case_id for each in attempts} and failed and not failed & set(chosen):
            chosen[-1] = next(case_id for case_id in drawn if case_id in failed)
        return tuple(chosen)

    async def _written(
        self, record: ProposalRecord, model: ProposingModel, parent: Configuration, seed: int
    ) -> tuple[str, str]:
        """The text, and why it is not worth a try ("" when it is)."""
        failing = self._failing(record.minibatch, parent, model.failures)
        if not failing:
            return "", "its parent fails none of the minibatch"
        request = ChatRequest(
            messages=proposal_messages(record.parent, failing),
            temperature=model.temperature,
            max_tokens=model.max_tokens,
            seed=seed,
        )
        try:
            text = cleaned(await write(model, self._host, parent, request))
        except NoAnswer as error:
            return "", f"the model did not answer: {error}"
        return text, _unfit(text, record.parent)

    def _failing(self, minibatch: Sequence[str], parent: Configuration, most: int) -> list[tuple[Case, Attempt]]:
        """Cases of the minibatch that the parent failed, each with its answer; of train and nothing else."""
        failed: dict[str, Attempt] = {}
        for attempt in self._tester.attempts(parent):
            if attempt.passed is False and attempt.case_id in minibatch:
                failed.setdefault(attempt.case_id, attempt)
        return [(self._train[case_id], failed[case_id]) for case_id in minibatch if case_id in failed][:most]

    async def _answers(self, configuration: Configuration, cases: Sequence[str]) -> Answers:
        """Raises `OutOfBudget` where not all of them could be answered."""
        answers = await self._tester.answer(configuration, cases, self._spending.allowance())
        self._spending.case_runs += answers.fresh
        if not answers.complete:
            raise OutOfBudget
        return answers


def parent_of(candidates: Sequence[Candidate]) -> Settings:
    """The settings of the best candidate so far; the baseline's while there is none."""
    finished = [each for each in candidates if each.end == "finished"]
    best = max([each for each in finished if each.meets] or finished, key=rank, default=None)
    return best.settings if best else {}


def _judged(record: ProposalRecord, before: Answers, after: Answers) -> ProposalRecord:
    """With both means over the cases that have a score before and after; accepted when that after is the higher."""
    score, parent_score = _mean(after.scores, before.scores), _mean(before.scores, after.scores)
    accepted = score is not None and parent_score is not None and score > parent_score
    return replace(record, score=score, parent_score=parent_score, accepted=accepted)


def _mean(scores: Mapping[str, float], others: Mapping[str, float]) -> float | None:
    """Over the cases that both have."""
    shared = [score for case_id, score in scores.items() if case_id in others]
    return sum(shared) / len(shared) if shared else None


def _unfit(text: str, parent: str | None) -> str:
    """Why a text is not worth a try, "" when it is."""
    if not text:
        return "nothing was written"
    if text == parent:
        return "it is its parent's text"
    return f"{TOOLS} is not in it" if TOOLS in (parent or "") and TOOLS not in text else ""
