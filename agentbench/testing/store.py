"""The contract of a store, on any database."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from agentbench.core.attempt import Attempt, Label, Score
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.run import RunKind
from agentbench.core.trace import Trace
from agentbench.store import AlreadyStored, Store, open_store
from agentbench.testing.store_lists import ListingContract, StudiesContract
from agentbench.testing.store_samples import EPOCH, a_case, a_failed_attempt, a_run, an_attempt


def start_writer(url: str, run_id: str, worker: int, count: int) -> subprocess.Popen[str]:
    """A process that stores `count` attempts in the run and prints each case id after its commit."""
    arguments = [sys.executable, "-m", "agentbench.testing.store_writer", url, run_id, str(worker), str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


class StoreContract(ListingContract, StudiesContract):
    """Fixture of a subclass: `url`, the URL of an empty database; each test needs its own."""

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        with open_store(url) as store:
            yield store

    @pytest.fixture
    def filled(self, store: Store) -> Store:
        store.create_run(a_run())
        store.add_attempt("run-1", an_attempt("paris", 0), a_case("paris"))
        store.add_attempt("run-1", an_attempt("paris", 1, passed=False), a_case("paris"))
        store.add_attempt("run-1", a_failed_attempt("rome", 0), a_case("rome"))
        return store

    def test_a_run_is_read_back_unchanged(self, store: Store) -> None:
        run = a_run(label="first", environment={"git": {"commit": "abc"}}, status="finished")
        store.create_run(run)
        assert store.get_run("run-1") == run

    def test_a_run_is_created_once(self, store: Store) -> None:
        store.create_run(a_run())
        with pytest.raises(AlreadyStored, match="run-1"):
            store.create_run(a_run(label="other"))
        assert store.get_run("run-1").label == ""

    def test_attempts_are_read_back_unchanged(self, filled: Store) -> None:
        assert filled.attempts("run-1") == [
            an_attempt("paris", 0),
            an_attempt("paris", 1, passed=False),
            a_failed_attempt("rome", 0),
        ]
        assert filled.attempt("run-1", "rome", 0) == a_failed_attempt("rome", 0)
        assert filled.attempt("run-1", "rome", 1) is None

    def test_the_stored_keys_are_what_a_resumed_run_skips(self, filled: Store) -> None:
        assert filled.stored_keys("run-1") == {("paris", 0), ("paris", 1), ("rome", 0)}
        assert filled.stored_keys("absent") == set()

    def test_an_attempt_is_stored_once(self, filled: Store) -> None:
        with pytest.raises(AlreadyStored, match="'paris', repeat 1"):
            filled.add_attempt("run-1", an_attempt("paris", 1, seed=99), a_case("paris", expected="new"))
        assert filled.attempt("run-1", "paris", 1) == an_attempt("paris", 1, passed=False)
        assert filled.case("run-1", "paris") == a_case("paris")

    def test_an_attempt_needs_its_run(self, store: Store) -> None:
        with pytest.raises(UserError, match="no run 'absent'"):
            store.add_attempt("absent", an_attempt(), a_case())

    @pytest.mark.parametrize("value", [float("nan"), 2.0, -1.0, float("inf")])
    def test_a_refused_attempt_is_an_error_and_the_others_are_stored(self, store: Store, value: float) -> None:
        store.create_run(a_run())
        odd = replace(an_attempt("odd"), scores=(Score(name="s", value=value, passed=True),))
        attempts = [(an_attempt("a"), a_case("a")), (odd, a_case("odd")), (an_attempt("b"), a_case("b"))]
        with pytest.raises(UserError, match=r"refuses case 'odd', repeat 0, of run run-1: score 's' is"):
            store.add_attempts("run-1", attempts)
        assert store.stored_keys("run-1") == {("a", 0), ("b", 0)}

    def test_a_number_too_large_for_its_column_is_an_error_and_nothing_is_stored(self, store: Store) -> None:
        store.create_run(a_run())
        with pytest.raises(UserError, match="refuses case 'a', repeat 0, of run run-1"):
            store.add_attempts("run-1", [(replace(an_attempt("a"), seed=2**70), a_case("a"))])
        assert store.stored_keys("run-1") == set()

    def test_the_case_of_an_attempt_is_stored(self, filled: Store) -> None:
        assert filled.case("run-1", "paris") == a_case("paris")
        with pytest.raises(UserError, match="no attempt of case 'oslo'"):
            filled.case("run-1", "oslo")

    def test_a_changed_case_is_stored_beside_the_old_one(self, filled: Store) -> None:
        filled.create_run(a_run("run-2"))
        filled.add_attempt("run-2", an_attempt(), a_case(expected="other"))
        assert filled.case("run-2", "paris").expected == "other"
        assert filled.case("run-1", "paris") == a_case("paris")

    @pytest.fixture
    def reviewed(self, store: Store) -> Store:
        """Both scorers, `human` and `exact`, must pass an attempt of run-1. Paris waits for a person, rome is already
        wrong, oslo failed."""
        store.create_run(a_run(environment={"passed_by": ["human", "exact"]}, case_ids=("paris", "rome", "oslo")))
        waits = Score(name="human", value=0.0, passed=None, reason="waits for review")
        for case_id, passed in (("paris", True), ("rome", False)):
            scores = (Score(name="exact", value=float(passed), passed=passed), waits)
            attempt = an_attempt(case_id, scores=scores, passed=False if not passed else None)
            store.add_attempt("run-1", attempt, a_case(case_id))
        store.add_attempt("run-1", a_failed_attempt("oslo"), a_case("oslo"))
        return store

    def test_a_reviewers_last_label_replaces_the_others(self, reviewed: Store) -> None:
        first = Label(case_id="paris", repeat=0, reviewer="ann", passed=False, comment="\x00\ud800", created_at=EPOCH)
        second = replace(first, passed=True, created_at=EPOCH + timedelta(minutes=1))
        other = replace(first, reviewer="bob")
        for label in (first, other, second):
            reviewed.add_label("run-1", label)
        assert reviewed.labels("run-1") == [second, other]
        assert reviewed.labels("other") == []

    def test_a_label_needs_an_answer(self, reviewed: Store) -> None:
        label = Label(case_id="oslo", repeat=0, reviewer="ann", passed=True, created_at=EPOCH)
        with pytest.raises(UserError, match=r"case 'oslo', repeat 0 ended in a failure \(timeout\)"):
            reviewed.add_label("run-1", label)
        with pytest.raises(UserError, match="no attempt of case 'oslo', repeat 1"):
            reviewed.add_label("run-1", replace(label, repeat=1))
        assert reviewed.labels("run-1") == []

    @pytest.mark.parametrize(
        ("votes", "passed", "value", "counts"),
        [
            ("", None, 0.0, (0, 1, 1)),
            ("p", True, 1.0, (1, 1, 0)),
            ("f", False, 0.0, (0, 2, 0)),
            ("ppf", True, 2 / 3, (1, 1, 0)),
            ("pf", None, 0.5, (0, 1, 1)),
        ],
    )
    def test_the_majority_of_the_reviewers_decides_a_waiting_verdict(
        self, reviewed: Store, votes: str, passed: bool | None, value: float, counts: tuple[int, int, int]
    ) -> None:
        for case_id in ("paris", "rome"):
            for number, letter in enumerate(votes):
                verdict = letter == "p"
                label = Label(case_id=case_id, repeat=0, reviewer=f"r{number}", passed=verdict, created_at=EPOCH)
                reviewed.add_label("run-1", label)
        paris, rome, oslo = reviewed.attempts("run-1")
        assert (paris.passed, rome.passed, oslo.passed) == (passed, False, None)
        assert paris.scores[1].passed is passed
        assert paris.scores[1].value == pytest.approx(value)
        assert paris.scores[0].passed is True
        assert reviewed.attempt("run-1", "paris", 0) == paris
        assert [attempt.passed for attempt in reviewed.measured_attempts("run-1")] == [passed, False, None]
        assert sorted(reviewed.verdicts("run-1")) == [("oslo", 0, None), ("paris", 0, passed), ("rome", 0, False)]
        [summary] = reviewed.list_runs()
        assert (summary.passed, summary.wrong, summary.waiting, summary.failed) == (*counts, 1)
        assert reviewed.waiting_scorers("run-1") == {"human"}

    def test_a_run_is_imported_with_its_attempts_and_labels(self, store: Store) -> None:
        label = Label(case_id="rome", repeat=0, reviewer="ann", passed=True, created_at=EPOCH)
        many = [(an_attempt("paris", repeat), a_case("paris")) for repeat in range(250)]
        store.import_run(a_run(), [*many, (an_attempt("rome"), a_case("rome")), label])
        assert store.get_run("run-1") == a_run()
        assert list(store.attempts_with_cases("run-1")) == [*many, (an_attempt("rome"), a_case("rome"))]
        assert store.labels("run-1") == [label]
        with pytest.raises(AlreadyStored, match="run-1"):
            store.import_run(a_run(label="other"), many)

    def test_an_import_that_breaks_off_stores_nothing(self, store: Store) -> None:
        def parts() -> Iterator[tuple[Attempt, Case]]:
            yield from ((an_attempt("paris", repeat), a_case("paris")) for repeat in range(450))
            raise UserError("the file ends here")

        with pytest.raises(UserError, match="the file ends here"):
            store.import_run(a_run(), parts())
        assert store.list_runs() == []
        assert store.stored_keys("run-1") == set()

    def test_the_answers_of_a_run_leave_out_failed_attempts(self, filled: Store) -> None:
        assert filled.answers("run-1") == {"paris": ["It is 21 °C."] * 2}
        assert filled.answers("absent") == {}

    def test_answers_leave_out_thoughts_and_traces_have_them(self, store: Store) -> None:
        trace = Trace(output="<think>Cold?</think>\n21 °C")
        store.create_run(a_run())
        store.add_attempt("run-1", an_attempt("paris", trace=trace), a_case("paris"))
        assert store.answers("run-1") == {"paris": ["21 °C"]}
        found = store.attempt("run-1", "paris", 0)
        assert found is not None
        assert found.trace.output == trace.output

    def test_the_status_sets_when_a_run_finished(self, store: Store) -> None:
        store.create_run(a_run())
        assert store.get_run("run-1").finished_at is None
        store.set_status("run-1", "interrupted")
        ended = store.get_run("run-1")
        assert ended.status == "interrupted"
        assert ended.finished_at is not None
        assert ended.finished_at.tzinfo is UTC
        store.set_status("run-1", "running")
        assert store.get_run("run-1").finished_at is None

    def test_only_a_run_without_attempts_is_discarded(self, filled: Store) -> None:
        filled.create_run(a_run("run-2"))
        assert filled.discard_empty("run-2")
        assert not filled.discard_empty("run-2")
        assert not filled.discard_empty("run-1")
        assert [run.id for run in filled.list_runs()] == ["run-1"]

    def test_facts_are_added_to_the_environment(self, store: Store) -> None:
        store.create_run(a_run(environment={"machine": "a", "git": {"commit": "x"}}))
        store.update_environment("run-1", {"machine": "b", "server": {"model": "small"}})
        assert store.get_run("run-1").environment == {
            "machine": "b",
            "git": {"commit": "x"},
            "server": {"model": "small"},
        }

    def test_runs_are_listed_newest_first_with_their_counts(self, filled: Store) -> None:
        filled.create_run(a_run("run-0", minutes=-5))
        filled.create_run(a_run("other", minutes=5, suite="maths", label="new"))
        listed = filled.list_runs()
        assert [row.id for row in listed] == ["other", "run-1", "run-0"]
        counted = [(row.planned, row.passed, row.wrong, row.failed) for row in listed]
        assert counted == [(4, 0, 0, 0), (4, 1, 1, 1), (4, 0, 0, 0)]
        assert [row.id for row in filled.list_runs(limit=1, suite="weather")] == ["run-1"]

    def test_an_id_a_part_of_it_a_label_and_latest_name_a_run(self, store: Store) -> None:
        store.create_run(a_run("aaaa1111", minutes=0, label="baseline"))
        store.create_run(a_run("aaaa2222", minutes=1))
        store.create_run(a_run("bbbb-3333", minutes=2, label="aaaa"))
        for reference, run_id in {
            "aaaa1111": "aaaa1111",
            "baseline": "aaaa1111",
            "bbbb": "bbbb-3333",
            "3333": "bbbb-3333",
            "aaaa": "bbbb-3333",
            "latest": "bbbb-3333",
            "latest~2": "aaaa1111",
        }.items():
            assert store.get_run(reference).id == run_id

    def test_a_label_used_again_means_the_newest_run(self, store: Store) -> None:
        store.create_run(a_run("first", minutes=0, label="main"))
        store.create_run(a_run("second", minutes=1, label="main"))
        store.create_run(a_run("other", minutes=2, label="main", suite="maths"))
        store.create_run(a_run("odd", minutes=3, label="main~2"))
        for reference, run_id in {"main": "other", "main~1": "second", "main~2": "odd", "latest~1": "other"}.items():
            assert store.get_run(reference).id == run_id
        assert store.get_run("main", "weather").id == "second"
        assert store.get_run("main~1", "weather").id == "first"
        with pytest.raises(UserError, match="no run 'main~3'"):
            store.get_run("main~3")

    def test_latest_skips_reruns_and_runs_of_studies(self, store: Store) -> None:
        kinds: tuple[RunKind, ...] = ("suite", "part", "rerun", "study")
        for minutes, kind in enumerate(kinds):
            store.create_run(a_run(f"run-{kind}", minutes=minutes, kind=kind))
        assert store.get_run("latest").id == "run-part"
        assert store.get_run("latest~1").id == "run-suite"
        with pytest.raises(UserError, match="no run 'latest~2'"):
            store.get_run("latest~2")
        assert store.get_run("run-rerun").kind == "rerun"
        assert [row.kind for row in store.list_runs()] == ["study", "rerun", "part", "suite"]

    @pytest.mark.parametrize("name", ["", " "])
    def test_an_empty_name_is_no_run(self, store: Store, name: str) -> None:
        store.create_run(a_run())
        with pytest.raises(UserError, match="the name of the run is empty"):
            store.get_run(name)

    def test_an_unknown_or_ambiguous_name_is_a_user_error(self, store: Store) -> None:
        with pytest.raises(UserError, match="no runs yet"):
            store.get_run("latest")
        store.create_run(a_run("aaaa1111", label="nightly"))
        store.create_run(a_run("aaaa2222", label="nightly"))
        with pytest.raises(UserError, match=r"several runs: aaaa2222 \(nightly\), aaaa1111"):
            store.get_run("aaaa")
        with pytest.raises(UserError, match="Did you mean 'nightly'"):
            store.get_run("nigthly")
        with pytest.raises(UserError, match="no run 'latest~2'"):
            store.get_run("latest~2")
        with pytest.raises(UserError, match="no run '%'"):
            store.get_run("%")

    def test_tags_and_notes_are_stored(self, filled: Store) -> None:
        notes = filled.notes
        for tag in ("to  publish", "a", "a"):
            notes.add_tag("run-1", tag)
        assert notes.tags(["run-1", "absent"]) == {"run-1": ["a", "to publish"]}
        assert self.listed(filled, tag="a") == ["run-1"]
        notes.remove_tag("run-1", "a")
        notes.remove_tag("run-1", "absent")
        assert notes.all_tags() == ["to publish"]
        assert notes.note("run-1") == ""
        notes.set_note("run-1", "first")
        notes.set_note("run-1", "slow\nbut right \x00\ud800")
        assert notes.note("run-1") == "slow\nbut right \x00\ud800"
        for tag in ("", "  ", "x" * 61):
            with pytest.raises(UserError, match="expected 1 to 60 characters"):
                notes.add_tag("run-1", tag)
        with pytest.raises(UserError, match="no run 'absent'"):
            notes.add_tag("absent", "a")

    def test_discarding_an_empty_run_removes_its_tags(self, store: Store) -> None:
        store.create_run(a_run())
        store.notes.add_tag("run-1", "a")
        store.notes.set_note("run-1", "nothing")
        assert store.discard_empty("run-1")
        assert store.notes.all_tags() == []

    def test_a_reopened_database_has_its_attempts(self, filled: Store, url: str) -> None:
        filled.close()
        with open_store(url) as again:
            assert len(again.attempts("run-1")) == 3

    def test_several_processes_open_a_new_database_and_write_concurrently(self, url: str) -> None:
        writers = [start_writer(url, "shared", worker, count=15) for worker in range(4)]
        assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0, 0]
        for writer in writers:
            writer.stdout.close()  # type: ignore[union-attr]
        with open_store(url) as store:
            stored = store.attempts("shared")
            assert len(stored) == len(store.stored_keys("shared")) == 60
            assert all(len(attempt.trace.steps) == 3 for attempt in stored)

    def test_a_killed_writer_leaves_only_complete_attempts(self, url: str) -> None:
        writer = start_writer(url, "killed", 0, count=100_000)
        assert writer.stdout is not None
        committed = [writer.stdout.readline().strip() for _ in range(25)]
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(timeout=30)
        writer.stdout.close()
        with open_store(url) as store:
            stored = store.attempts("killed")
            assert {f"0-{number}" for number in range(25)} == set(committed)
            assert set(committed) <= {attempt.case_id for attempt in stored}
            assert all(attempt == an_attempt(attempt.case_id) for attempt in stored)
            store.add_attempt("killed", an_attempt("after"), a_case("after"))
