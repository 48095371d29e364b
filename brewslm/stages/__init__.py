"""What each kind of resource is: its fields, what it consumes, what a change means, which door does
the work.

One file a kind. Never: the engine, the state, plans.
"""
