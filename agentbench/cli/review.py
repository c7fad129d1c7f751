"""`agentbench review` and `label` store people's verdicts on attempts; `agreement` compares scorers and reviewers."""

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentbench.cli.runs import AsJson, Db
from agentbench.core.errors import UserError

if TYPE_CHECKING:
    from agentbench.core.attempt import Attempt
    from agentbench.report.review import AttemptKey
    from agentbench.store import Store


def agreement_command(
    run: Annotated[str, typer.Argument(help="Run: id, its start or end, label, LABEL~N or latest~N.")] = "latest",
    scorer: Annotated[str | None, typer.Option(help="Compare only this scorer with the reviewers.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Compare the scorers' verdicts with people's labels, and the reviewers with each other (Cohen's kappa)."""
    from agentbench.report.review import agreement_report, agreement_view
    from agentbench.report.terminal import console
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        view = agreement_view(store, store.get_run(run), scorer)
    if as_json:
        typer.echo(json.dumps(view.to_json(), indent=2))
        return
    out = console()
    out.print(agreement_report(view, piped=not out.is_terminal))


Reviewer = Annotated[str | None, typer.Option(help="Who labels; your login name by default.")]
Verdict = Literal["pass", "fail", "skip"]
VERDICTS: dict[str, Verdict] = {"p": "pass", "f": "fail", "s": "skip"}
KEYS = "[p]ass  [f]ail  [c]omment  [s]kip  [q]uit"


def review_command(
    run: Annotated[str, typer.Argument(help="Run: id, its start or end, label, LABEL~N or latest~N.")] = "latest",
    reviewer: Reviewer = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Review at most this many, drawn by --seed.")] = None,
    scorer: Annotated[str | None, typer.Option(help="Only attempts that this scorer graded.")] = None,
    uncertain: Annotated[bool, typer.Option("--uncertain", help="Begin with scores nearest to 0.5.")] = False,
    against: Annotated[str | None, typer.Option(help="Only attempts whose verdict differs from this run's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of --sample.")] = 0,
    only_list: Annotated[bool, typer.Option("--list", help="List the attempts to review and ask nothing.")] = False,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Show attempts one by one, without any scorer's verdict, and keep yours."""
    from agentbench.report.review import ReviewSelection, review_queue
    from agentbench.store import open_store

    name = reviewer_named(reviewer)
    with open_store(db, create=False) as store:
        run_id = store.get_run(run).id
        before = store.get_run(against).id if against is not None else None
        selection = ReviewSelection(
            reviewer=name, sample=sample, scorer=scorer, uncertain=uncertain, against=before, seed=seed
        )
        queue = review_queue(store, run_id, selection)
        if only_list or as_json:
            _list(store, run_id, queue, as_json)
        else:
            _review(store, run_id, queue, name)


def label_command(
    run: Annotated[str, typer.Argument(help="Run: id, its start or end, label, LABEL~N or latest~N.")],
    case: Annotated[str, typer.Argument(help="CASE, or CASE:REPEAT; repeat 0 by default.")],
    verdict: Annotated[str, typer.Argument(metavar="pass|fail", help="The verdict.")],
    reviewer: Reviewer = None,
    comment: Annotated[str, typer.Option(help="Why, in your own words.")] = "",
    db: Db = None,
) -> None:
    """Store a person's verdict on an attempt, in place of their last one."""
    from agentbench.store import open_store

    if verdict not in ("pass", "fail"):
        raise UserError(f"verdict {verdict!r}: expected pass or fail")
    with open_store(db, create=False) as store:
        run_id = store.get_run(run).id
        case_id, repeat = _attempt_named(store, run_id, case)
        _keep(store, run_id, (case_id, repeat), verdict == "pass", reviewer_named(reviewer), comment)


def reviewer_named(name: str | None) -> str:
    """The reviewer's name: `name`, otherwise the login name."""
    import getpass

    if name is not None and not name.strip():
        raise UserError("--reviewer is empty; give the name that labels are stored under")
    try:
        return name or getpass.getuser()
    except (OSError, KeyError):  # no such user on this machine (a container)
        raise UserError("who reviews? Give --reviewer NAME") from None


def _attempt_named(store: "Store", run_id: str, reference: str) -> tuple[str, int]:
    """The attempt for CASE:REPEAT, or repeat 0 of CASE. A case id may contain a colon itself."""
    keys = store.stored_keys(run_id)
    case_id, colon, number = reference.rpartition(":")
    if colon and number.isascii() and number.isdigit() and (case_id, int(number)) in keys:
        return case_id, int(number)
    if (reference, 0) in keys or not colon:
        return reference, 0
    raise UserError(f"run {run_id} has no attempt {reference!r}. agentbench review {run_id} --list has those to label.")


def _keep(store: "Store", run_id: str, key: tuple[str, int], passed: bool, reviewer: str, comment: str) -> None:
    from agentbench.core.attempt import Label

    label = Label(
        case_id=key[0],
        repeat=key[1],
        reviewer=reviewer,
        passed=passed,
        comment=comment,
        created_at=datetime.now(UTC),
    )
    store.add_label(run_id, label)


def _list(store: "Store", run_id: str, queue: "list[AttemptKey]", as_json: bool) -> None:
    from agentbench.report.terminal_safe import line

    found = [(case_id, repeat, _attempt(store, run_id, (case_id, repeat)).trace.answer) for case_id, repeat in queue]
    if as_json:
        rows = [{"case": case_id, "repeat": repeat, "output": output} for case_id, repeat, output in found]
        typer.echo(json.dumps({"id": run_id, "attempts": rows}, indent=2))
        return
    for case_id, repeat, output in found:
        answer = line(output)
        typer.echo(f"{line(case_id)}:{repeat}  {answer[:80]}{'…' if len(answer) > 80 else ''}")
    typer.echo(f"{len(queue)} to review: agentbench label {run_id} CASE:REPEAT pass|fail", err=True)


def _attempt(store: "Store", run_id: str, key: "AttemptKey") -> "Attempt":
    found = store.attempt(run_id, *key)
    assert found is not None, "the queue is of what the run has"
    return found


def _review(store: "Store", run_id: str, queue: "list[AttemptKey]", reviewer: str) -> None:
    if not sys.stdin.isatty():
        raise UserError("review asks on a terminal; use review --list and label where there is none")
    if not queue:
        typer.echo("Nothing to review.")
        return
    done = 0
    for number, key in enumerate(queue, 1):
        typer.echo(f"\n── {number} of {len(queue)} ──")
        _show(store, run_id, _attempt(store, run_id, key))
        answer = _ask()
        if answer is None:
            break
        verdict, comment = answer
        if verdict != "skip":
            _keep(store, run_id, key, verdict == "pass", reviewer, comment)
            done += 1
    typer.echo(f"{done} labelled as {reviewer}. Next: agentbench agreement {run_id}")


def _show(store: "Store", run_id: str, attempt: "Attempt") -> None:
    """Shows the conversation without scores and verdict, which would influence the reviewer."""
    from dataclasses import replace

    from agentbench.report.terminal import console
    from agentbench.report.transcript.terminal import transcript

    blind = replace(attempt, scores=(), passed=None)
    console().print(transcript(store.case(run_id, attempt.case_id), blind, prices=None))


def _ask() -> tuple[Verdict, str] | None:
    """The reviewer's verdict and comment; None to stop."""
    comment = ""
    while (key := _key()) != "q":
        if key == "c":
            comment = typer.prompt("comment", default=comment)
        elif key in VERDICTS:
            return VERDICTS[key], comment
    return None


def _key() -> str:
    typer.echo(f"{KEYS}: ", nl=False)
    try:
        key = typer.getchar().lower()
    except EOFError:  # Ctrl-D
        key = "q"
    typer.echo(key if key.isprintable() else "")
    return key
