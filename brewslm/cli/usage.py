"""Mistakes on the command line, told in the four parts of every other error."""

import click

from brewslm.errors import BrewError
from brewslm.registry import closest


class UsageError(BrewError):
    """A command line that means nothing; code usage_error."""


class SuggestingGroup(click.Group):
    """A group of commands that answers an unknown name with the closest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command.

        Raises: UsageError that names the closest command.
        """
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = closest(args[0], known)
            raise UsageError(
                f'there is no command "{ctx.command_path} {args[0]}"',
                code="usage_error",
                found=args[0],
                expected="one of " + ", ".join(known),
                remedy=f"{ctx.command_path} {near[0]}" if near else f"{ctx.command_path} --help",
            )
        return super().resolve_command(ctx, args)


def usage_error(error: click.ClickException) -> UsageError:
    """Return what the command-line library refused, in our words where it is about an option."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "brewslm"
    if isinstance(error, click.NoSuchOption) and context is not None:
        return _no_such_option(error.option_name, context)
    return UsageError(
        error.format_message().rstrip("."), code="usage_error", remedy=f"{path} --help"
    )


def _no_such_option(name: str, context: click.Context) -> UsageError:
    known = [
        option.removeprefix("--")
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    ]
    near = closest(name.removeprefix("--"), known)
    return UsageError(
        f'"{context.command_path}" has no option {name}',
        code="usage_error",
        found=name,
        expected="one of " + ", ".join(f"--{option}" for option in known),
        remedy=f"write --{near[0]} (closest match)" if near else f"{context.command_path} --help",
    )
