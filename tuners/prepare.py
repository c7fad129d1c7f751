"""What stands between a suggestion and what is tried: instructions still to be proposed, demonstrations to be found."""

from collections.abc import Sequence

from agentbench.store.studies import Studies
from tuners.bootstrap import Bootstrapper
from tuners.budget import Spending
from tuners.candidate import Candidate
from tuners.live import LiveEvaluator
from tuners.proposer import Proposer
from tuners.search import Plan, Prepare
from tuners.space import Settings
from tuners.study import Study


def prepared_by(study: Study, plan: Plan, evaluator: LiveEvaluator, kept: Studies, spending: Spending) -> Prepare:
    """Both see the train cases and nothing of the others."""
    train = {case_id: study.train[case_id] for case_id in plan.rungs.order}
    propose = Proposer(study.name, plan.outer, train, evaluator, kept, spending, plan.seed)
    bootstrap = Bootstrapper(plan.outer, train, plan.rungs.order, evaluator.attempts_of)

    async def prepare(settings: Settings, candidates: Sequence[Candidate]) -> Settings:
        return await bootstrap(await propose(settings, candidates), candidates)

    return prepare
