"""Everything that needs an accelerator library; runs in the worker process only.

Doors take a job and return a result. Never: the manifest, plans, the state.
"""
