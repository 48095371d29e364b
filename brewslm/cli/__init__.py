"""The command line: parse, open stores, call one function, choose a renderer, return an exit code.

One file a command, loaded when that command runs. Never: logic that a program without a terminal
would need too.
"""

import os

os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
"""Set before pydantic loads: no installed package may change how a manifest is validated, and no
time is spent on looking for such plugins.
"""
