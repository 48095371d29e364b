"""The console script: a table of commands, each loaded when it runs, and one place where errors
become exit codes.
"""

import click

from brewslm import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="brewslm")
def main() -> None:
    """Plan, train, gate and promote fine-tuned small language models from brewslm.yaml."""
