"""Answering `brewslm plan`: the plan computed, rendered, written where asked, and remembered."""

from collections.abc import Mapping
from typing import Any, TextIO

from msgspec.structs import replace

from brewslm.cli.paths import as_named
from brewslm.cli.plan_memory import Answer, PlanFlags, keep, watching
from brewslm.cli.planning import Planned, PlanWishes, make_plan, write_output
from brewslm.cli.provenance import ci_run_of
from brewslm.cli.reviewing import Review
from brewslm.cli.selecting import selection
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode
from brewslm.render.markdown import render_markdown
from brewslm.render.text import TextStyle, render_plan


def planned(session: Session, flags: PlanFlags, asked: Mapping[str, Any] | None) -> Answer:
    """Return the answer to `brewslm plan`, having written the files that the flags name.

    asked: the question under which an answer without changes is remembered; None remembers nothing.
    Raises: FindingsError, PlanError, StateError, UsageError.
    """
    wishes = _wishes(flags)
    with watching(session) as sight:
        notes = _Notes(session.err)
        made = make_plan(replace(session, environment=sight.environment, err=notes), wishes)
        is_local = not flags.may_be_recalled or not session.is_shared()
    answer = _answer(session, flags, made)
    plan = made.plan
    is_settled = plan.is_applyable and not plan.is_pending and not plan.drift
    if asked is not None and is_local and is_settled and not notes.has_any:
        keep(session, asked, answer, sight, made.base_folder)
    return answer


class _Notes:
    """Passes talk on, and knows whether there was any: a remembered answer repeats none of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.has_any = False

    def write(self, text: str) -> int:
        self.has_any = True
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


def _wishes(flags: PlanFlags) -> PlanWishes:
    wishes = PlanWishes(
        flags.refresh,
        flags.max_deletes,
        flags.is_refresh_only,
        selection(flags.targets, flags.excludes, flags.replaces),
        Review(flags.against, flags.policy_ref),
        is_untrusted=flags.is_untrusted,
        snapshot=flags.snapshot,
        device=flags.device,
    )
    if wishes.is_refresh_only and wishes.is_elsewhere:
        raise UsageError(
            "drift is looked for where things are",
            code="usage_error",
            found="--refresh-only together with --untrusted or --state-snapshot",
            expected="one of them",
            remedy="brewslm plan --refresh-only, on the machine that applies",
        )
    return wishes


def _answer(session: Session, flags: PlanFlags, made: Planned) -> Answer:
    plan = made.plan
    for path in (flags.out, flags.json_into):
        if path is not None:
            write_output(path, plan.to_bytes())
    if flags.markdown is not None:
        run = ci_run_of(session.environment)
        write_output(flags.markdown, session.redacted(render_markdown(plan, run)).encode())
    if flags.is_json:
        text = plan.to_bytes().decode()
    else:
        style = TextStyle(session.has_color, flags.shows_unchanged, flags.explains)
        saved_as = str(as_named(session, flags.out)) if flags.out else ""
        text = session.spelled(render_plan(plan, style, saved_as=saved_as))
    code = exit_code_of(plan.finding_values)
    if code is ExitCode.DONE and flags.is_detailed and plan.is_pending:
        code = ExitCode.CHANGES_PENDING
    return Answer(text, int(code))
