"""A study from Python, by the public names of `tuners`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tuners
from agentbench.store import Store
from tuners import StudyProgress, Verdict, find_study, make_study, run_study, store_study, study_view


def test_every_public_name_can_be_imported() -> None:
    assert len(tuners.__all__) <= 10
    assert all(getattr(tuners, name) for name in tuners.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Searcher'"):
        _ = tuners.Searcher  # type: ignore[attr-defined]


def test_no_heavy_package_is_imported_before_a_name_is_used() -> None:
    code = "import sys, tuners; print('optuna' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


async def test_a_study_is_made_run_and_read_from_python(
    study: Callable[..., Path], store: Store, tmp_path: Path
) -> None:
    new_study = make_study(study(), {"budget.trials": 2})
    store_study(new_study, store)
    await run_study(new_study, store, str(tmp_path / "store.db"), StudyProgress(new_study.name))
    view = study_view(new_study.name, store)
    assert len(view.candidates) == 2
    assert isinstance(view.verdict, Verdict)
    assert find_study(new_study.name, store, {}).split == new_study.split
