"""One search over prompts, models, tools, workflow and serving knobs, judged on held-out cases.

A study is made from its file, stored, run and read: `make_study`, `store_study`, `run_study`, `study_view`.
Each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuners.report.progress import StudyProgress
    from tuners.report.view import StudyView, study_view
    from tuners.search.candidate import Candidate
    from tuners.study.study import Study, find_study, make_study, store_study
    from tuners.tune import run_study
    from tuners.verdict.verdict import Verdict

__all__ = [
    "Candidate",
    "Study",
    "StudyProgress",
    "StudyView",
    "Verdict",
    "find_study",
    "make_study",
    "run_study",
    "store_study",
    "study_view",
]

_HOMES = {
    "tuners.report.progress": ("StudyProgress",),
    "tuners.report.view": ("StudyView", "study_view"),
    "tuners.search.candidate": ("Candidate",),
    "tuners.study.study": ("Study", "find_study", "make_study", "store_study"),
    "tuners.tune": ("run_study",),
    "tuners.verdict.verdict": ("Verdict",),
}

if not TYPE_CHECKING:  # with __getattr__ in sight, a type checker would accept any name

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(home), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
