"""`agentbench tune`, `studies` and `study`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.cli.runs import AsJson, Db
from agentbench.core.errors import UserError

if TYPE_CHECKING:
    from agentbench.store import Store
    from tuners.report.view import StudyView
    from tuners.study.study import Study
    from tuners.tune import Tuned
    from tuners.workers import Team

PAGES = Path("results") / "studies"
ALL = 1_000_000
NONE_YET = "No studies yet: agentbench tune STUDY.yaml."


def tune_command(
    study: Annotated[Path | None, typer.Argument(help="A study.yaml.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Set a key of the study, e.g. budget.seconds=900."),
    ] = None,
    resume: Annotated[str | None, typer.Option(metavar="NAME", help="Go on with a study that was broken off.")] = None,
    workers: Annotated[
        str, typer.Option(metavar="N|ray[:N]", help="Workers of this machine, or workers that Ray places.")
    ] = "1",
    search_only: Annotated[bool, typer.Option("--search-only", help="Leave the verdict to a later --resume.")] = False,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Search a study's space for the best agent and server, and judge the winner on held-out cases."""
    if (study is None) == (resume is None):
        raise UserError("which study? For example: agentbench tune suites/bfcl_simple/study.yaml, or --resume NAME")
    from agentbench.store import open_store
    from tuners.report.best_file import command_of
    from tuners.report.view import study_view
    from tuners.study.file import parse_settings
    from tuners.study.study import find_study, make_study, store_study
    from tuners.workers import parse_team

    given, team = parse_settings(settings or []), parse_team(workers)
    if study is not None:
        made = make_study(study, given)
    with open_store(db, create=resume is None) as store:
        if resume is not None:
            made = find_study(resume, store, given, db)
        else:
            store_study(made, store)
        _tell_budget(made, store)
        done = _tuned(made, store, db, team, judged=not search_only)
        view = study_view(made.name, store)
        _print(view, as_json)
        try:
            _write_page(view, store, PAGES / made.name / "study.html")
        except UserError as error:
            typer.echo(f"agentbench: no page of it was written: {error}", err=True)
    if done.best is not None:
        typer.echo(f"agentbench: {command_of(made.suite, done.best)}", err=True)
    if done.verdict is not None and done.verdict.winner is None:
        raise UserError(f"study {made.name} has no winner: {'; '.join(done.verdict.notes)}")
    if done.verdict is None:
        later = f"for its verdict: agentbench tune --resume {made.name}"
        others = "other workers are still at it, and the last one gives the verdict"
        typer.echo(f"agentbench: study {made.name}: {later if search_only else others}", err=True)


def _tell_budget(made: "Study", store: "Store") -> None:
    """What the search may do with its budget, before it begins."""
    from tuners.search.budget import what_it_buys
    from tuners.tune import pace_of

    if not store.studies.get(made.name).verdict:
        repeats, pace = made.suite.config.run.repeats, pace_of(made.suite, store)
        typer.echo(f"agentbench: {what_it_buys(made.file.budget, made.plan().rungs.sizes, repeats, pace)}", err=True)


def _tuned(made: "Study", store: "Store", db: str | None, team: "Team", *, judged: bool) -> "Tuned":
    """The study to its end; its status says how it ended."""
    import asyncio

    try:
        return _worked(made, store, db, team, judged)
    except (KeyboardInterrupt, asyncio.CancelledError):
        store.studies.set_status(made.name, "interrupted")
        typer.echo(f"agentbench: interrupted; go on with: agentbench tune --resume {made.name}", err=True)
        raise typer.Exit(130) from None
    except Exception:
        # Whatever it was: nobody is at work on the study any more.
        store.studies.set_status(made.name, "interrupted")
        raise


def _worked(made: "Study", store: "Store", db: str | None, team: "Team", judged: bool) -> "Tuned":
    """By this process and those that help it, or by Ray's."""
    from agentbench.core import guest
    from tuners.report.progress import StudyProgress
    from tuners.tune import run_study, tuned
    from tuners.workers import helped, work_with_ray

    if team.ray:
        work_with_ray(made.name, db, team.count, made.file.resources, judged)
        return tuned(made, store)
    with StudyProgress(made.name) as progress, helped(made.name, db, team.count - 1, judged):
        guest.run(run_study(made, store, db, progress, judged=judged))
    if not judged:
        store.studies.set_status(made.name, "interrupted")
    return tuned(made, store)


def studies_command(as_json: AsJson = False, db: Db = None) -> None:
    """List the studies in the store."""
    from agentbench.report.lists import studies_report, study_summary_json
    from agentbench.report.terminal import console
    from agentbench.store import open_store
    from agentbench.store.listing import Page
    from agentbench.store.studies import StudyFilter

    with open_store(db, create=False) as store:
        found, _ = store.studies.listed(StudyFilter(), Page(limit=ALL))
    if as_json:
        typer.echo(json.dumps([study_summary_json(each) for each in found], indent=2))
        return
    out = console()
    out.print(studies_report(found, piped=not out.is_terminal) if found else NONE_YET)


def study_command(
    name: Annotated[str, typer.Argument(help="A study in the store.")],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page of it, in one file.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Show a study: its candidates, its front, what mattered, and its verdict."""
    from agentbench.store import open_store
    from tuners.report.view import study_view

    with open_store(db, create=False) as store:
        view = study_view(name, store)
        if html is not None:
            _write_page(view, store, html)
    _print(view, as_json)


def _write_page(view: "StudyView", store: "Store", path: Path) -> None:
    from agentbench.report.html import html_of, write_html
    from tuners.report.page import study_page

    write_html(path, html_of(study_page(view, store)))
    typer.echo(f"agentbench: wrote {path}", err=True)


def _print(view: "StudyView", as_json: bool) -> None:
    from agentbench.report.terminal import console
    from tuners.report.terminal import study_report

    if as_json:
        typer.echo(json.dumps(view.to_json(), indent=2))
        return
    out = console()
    out.print(study_report(view, piped=not out.is_terminal, width=out.width))
