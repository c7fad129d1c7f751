"""What stands between a suggestion and what is tried: instructions still to be proposed, demonstrations to be found."""

from collections.abc import Sequence

from agentbench.store.studies import Studies
from tuners.engine.evaluator import LiveEvaluator
from tuners.proposals.demonstrations import Bootstrapper
from tuners.proposals.proposer import Proposer
from tuners.search.budget import Spending
from tuners.search.candidate import Candidate
from tuners.search.search import Plan, Prepare
from tuners.space.space import Settings
from tuners.study.study import Study


def prepared_by(study: Study, plan: Plan, evaluator: LiveEvaluator, kept: Studies, spending: Spending) -> Prepare:
    """Both see the train cases and nothing of the others."""
    train = {case_id: study.train[case_id] for case_id in plan.rungs.order}
    propose = Proposer(study.name, plan.outer, train, evaluator, kept, spending, plan.seed)
    bootstrap = Bootstrapper(plan.outer, train, plan.rungs.order, evaluator.attempts_of)

    async def prepare(settings: Settings, candidates: Sequence[Candidate]) -> Settings:
        return await bootstrap(await propose(settings, candidates), candidates)

    return prepare
