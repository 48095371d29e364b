"""The command line: parse, open stores, call one function, choose a renderer, return an exit code.

One file a command, loaded when that command runs. Never: logic that a program without a terminal
would need too.
"""
