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
    from tuners.tune import StudyResult
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
    resume: Annotated[str | None, typer.Option(metavar="NAME", help="Continue a study that was interrupted.")] = None,
    workers: Annotated[
        str, typer.Option(metavar="N|ray[:N]", help="Workers on this machine, or workers that Ray places.")
    ] = "1",
    search_only: Annotated[bool, typer.Option("--search-only", help="Leave the verdict to a later --resume.")] = False,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Search a study's space for the best agent and server, and judge the winner on held-out cases."""
    if (study is None) == (resume is None):
        raise UserError(
            "which study? Name a file or a stored study, for example: agentbench tune suites/bfcl_simple/study.yaml, or"
            " agentbench tune --resume NAME"
        )
    from agentbench.store import open_store
    from tuners.report.best_file import command_of
    from tuners.report.view import study_view
    from tuners.study.file import parse_settings
    from tuners.study.study import find_study, make_study, store_study
    from tuners.workers import parse_team

    overrides, team = parse_settings(settings or []), parse_team(workers)
    if study is not None:
        current = make_study(study, overrides)
    with open_store(db, create=resume is None) as store:
        if resume is not None:
            current = find_study(resume, store, overrides, db)
        else:
            store_study(current, store)
        _print_budget(current, store)
        result = _run_to_end(current, store, db, team, judged=not search_only)
        view = study_view(current.name, store)
        _print(view, as_json)
        try:
            _write_page(view, store, PAGES / current.name / "study.html")
        except UserError as error:
            typer.echo(f"agentbench: the study's page was not written: {error}", err=True)
    if result.best is not None:
        typer.echo(f"agentbench: {command_of(current.suite, result.best)}", err=True)
    if result.verdict is not None and result.verdict.winner is None:
        raise UserError(f"study {current.name} has no winner: {'; '.join(result.verdict.notes)}")
    if result.verdict is None:
        later = f"no verdict yet; for one: agentbench tune --resume {current.name}"
        others = "other workers are still searching; the last of them gives the verdict"
        typer.echo(f"agentbench: study {current.name}: {later if search_only else others}", err=True)


def _print_budget(study: "Study", store: "Store") -> None:
    """Prints how many candidates the budget allows, unless the study has its verdict."""
    from tuners.search.budget import describe_budget
    from tuners.tune import pace_of

    if not store.studies.get(study.name).verdict:
        repeats, pace = study.suite.config.run.repeats, pace_of(study.suite, store)
        typer.echo(
            f"agentbench: {describe_budget(study.file.budget, study.plan().rungs.sizes, repeats, pace)}", err=True
        )


def _run_to_end(study: "Study", store: "Store", db: str | None, team: "Team", *, judged: bool) -> "StudyResult":
    """Runs the study; its status in the store says how it ended."""
    import asyncio

    try:
        return _run_workers(study, store, db, team, judged)
    except (KeyboardInterrupt, asyncio.CancelledError):
        store.studies.set_status(study.name, "interrupted")
        typer.echo(f"agentbench: interrupted; continue with: agentbench tune --resume {study.name}", err=True)
        raise typer.Exit(130) from None
    except Exception:
        # After any error, no process works on the study any more.
        store.studies.set_status(study.name, "interrupted")
        raise


def _run_workers(study: "Study", store: "Store", db: str | None, team: "Team", judged: bool) -> "StudyResult":
    """Runs the study in this process and its extra workers, or in Ray's workers."""
    from agentbench.core import guest
    from tuners.report.progress import StudyProgress
    from tuners.tune import run_study, study_result
    from tuners.workers import extra_workers, work_with_ray

    if team.ray:
        work_with_ray(study.name, db, team.count, study.file.resources, judged)
        return study_result(study, store)
    with StudyProgress(study.name) as progress, extra_workers(study.name, db, team.count - 1, judged):
        guest.run(run_study(study, store, db, progress, judged=judged))
    if not judged:
        store.studies.set_status(study.name, "interrupted")
    return study_result(study, store)


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
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write its report as one HTML file.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Show a study: its candidates, its front, the effect of each parameter, and its verdict."""
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
