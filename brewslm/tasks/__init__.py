"""What one kind of learning task means: prompts and answers, metrics with range and direction,
gates.

One file a task, pure functions on plain values. Never: torch, input or output.
"""
