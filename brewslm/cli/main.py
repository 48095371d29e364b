"""The console script: a table of commands and one place where errors become exit codes.

A command's module is imported when the command runs, so that help and quick commands stay quick.
"""

import gc
import os
import resource
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

import click

from brewslm import __version__
from brewslm.cli.session import Session
from brewslm.cli.usage import SuggestingGroup, usage_error
from brewslm.errors import BrewError, ExitCode, UnwrittenStateError
from brewslm.files import is_refused_write, name_too_long, unwritable
from brewslm.render.errors import framed, render_error
from brewslm.render.words import visible

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("brewslm.cli.init:command", "Write a starter manifest and make the state."),
    "validate": ("brewslm.cli.validate:command", "Check the manifest and report every finding."),
    "fmt": ("brewslm.cli.fmt:command", "Put the manifest into its canonical layout."),
    "plan": ("brewslm.cli.plan:command", "Show what apply would do, why, and at what price."),
    "apply": ("brewslm.cli.apply:command", "Do what the plan says, after asking."),
    "reconcile": ("brewslm.cli.reconcile:command", "Follow a git ref and apply what is allowed."),
    "destroy": ("brewslm.cli.destroy:command", "Delete every record, after asking."),
    "show": ("brewslm.cli.show:command", "Show the project, a resource or a saved plan."),
    "try": ("brewslm.cli.try_model:command", "Answer a text with the promoted model."),
    "state": ("brewslm.cli.state:command", "List, show and edit what the state remembers."),
    "events": ("brewslm.cli.events:command", "Show the history of runs."),
    "history": ("brewslm.cli.history:command", "Show the revisions."),
    "rollback": ("brewslm.cli.rollback:command", "Move the promoted pointer back."),
    "gc": ("brewslm.cli.gc:command", "Show or delete kept bytes that nothing leads to."),
    "lock": ("brewslm.cli.lock:command", "Show who holds the lease."),
    "force-unlock": ("brewslm.cli.force_unlock:command", "End a lease by its full ID."),
    "schema": ("brewslm.cli.schema:command", "Print a JSON Schema."),
}

_FLAGS = frozenset({"--no-color", "--ascii", "--quiet", "--debug", "--offline"})
_VALUED = frozenset({"--chdir", "--manifest"})


class _Commands(SuggestingGroup):
    """The table of commands, loaded one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        return cast("click.Command", getattr(import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="brewslm", message="%(prog)s %(version)s")
@click.option(
    "--chdir",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Project folder, which files named here are relative to.",
)
@click.option("--manifest", default="brewslm.yaml", show_default=True, help="Manifest file.")
@click.option("--no-color", is_flag=True, help="No colour; also by NO_COLOR.")
@click.option("--ascii", "is_ascii", is_flag=True, help="Only ASCII characters.")
@click.option("--quiet", is_flag=True, help="Only results, and which of them hold rows.")
@click.option("--debug", is_flag=True, help="Worker logs and details of internal errors.")
@click.option("--offline", is_flag=True, help="Open no socket, to shared stores either.")
@click.pass_context
def root(
    ctx: click.Context,
    chdir: Path,
    manifest: str,
    no_color: bool,
    is_ascii: bool,
    quiet: bool,
    debug: bool,
    offline: bool,
) -> None:
    """Plan, train, gate and promote fine-tuned small language models from brewslm.yaml."""
    call = ctx.find_object(_Call)
    environment = dict(os.environ)
    encoding = (sys.stdout.encoding or "ascii").lower()
    ctx.obj = Session(
        root=chdir.absolute(),
        manifest=manifest,
        is_quiet=quiet,
        is_debug=debug,
        is_offline=offline,
        is_ascii=is_ascii or not encoding.startswith("utf"),
        has_color=not no_color and "NO_COLOR" not in environment and sys.stdout.isatty(),
        environment=environment,
    )
    if call is not None:
        call.session = ctx.obj


class _Call:
    """One call of the program, and what is known of it when it ends in an error."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """arguments: with the global flags first."""
        self.is_debug = "--debug" in arguments
        self.session: Session | None = None

    def tell(self, text: str) -> None:
        """Write talk about an error without the values of secrets."""
        sys.stderr.write(self.session.redact(text) if self.session else text)


def _leave_no_core() -> None:
    """Keep a crash of this process or its children from writing their memory to the disk, where
    values of secrets would be found.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors are told in words, never as tracebacks."""
    _leave_no_core()
    gc.disable()  # a call is short, and collecting while models are built takes a tenth of it
    given = _globals_first(list(sys.argv[1:] if arguments is None else arguments))
    call = _Call(given)
    try:
        code = root.main(args=given, prog_name="brewslm", standalone_mode=False, obj=call)
        return int(code or ExitCode.DONE)
    except BrewError as error:
        if isinstance(error, UnwrittenStateError) and error.document:
            call.tell(framed(error.document))
        call.tell(render_error(error))
        return int(error.exit_code)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show(sys.stderr)
        return int(ExitCode.ERROR)
    except click.ClickException as error:
        call.tell(render_error(usage_error(error)))
        return int(ExitCode.ERROR)
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("\nInterrupted. Nothing was done.\n")
        return int(ExitCode.INTERRUPTED)
    except (BrokenPipeError, SystemExit):  # click exits by itself where a pipe is closed
        return _ended_by_reader()
    except OSError as error:
        refused = unwritable(error) if is_refused_write(error) else name_too_long(error)
        if refused is None:
            return _internal_error(error, call)
        call.tell(render_error(refused))
        return int(ExitCode.ERROR)
    except Exception as error:  # noqa: BLE001  the process ends here
        return _internal_error(error, call)


def _globals_first(arguments: list[str]) -> list[str]:
    """Move global flags before the verb, so that they may stand on either side of it."""
    front: list[str] = []
    rest: list[str] = []
    index = 0
    while index < len(arguments):
        item = arguments[index]
        if item == "--":
            rest.extend(arguments[index:])
            break
        if item in _FLAGS or (item.partition("=")[0] in _VALUED and "=" in item):
            front.append(item)
        elif item in _VALUED and index + 1 < len(arguments):
            front.extend(arguments[index : index + 2])
            index += 1
        else:
            rest.append(item)
        index += 1
    return front + rest


def _ended_by_reader() -> int:
    """Write the rest nowhere, since nobody reads it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return int(ExitCode.DONE)


def _internal_error(error: Exception, call: _Call) -> int:
    call.tell(f"internal error: {type(error).__name__}: {visible(str(error))}\n")
    if call.is_debug:
        call.tell("".join(traceback.format_exception(error)))
    else:
        call.tell("This is a defect of brewslm. --debug shows where it happened.\n")
    return int(ExitCode.ERROR)


if __name__ == "__main__":
    sys.exit(main())
