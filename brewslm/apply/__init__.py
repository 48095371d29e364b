"""Do exactly the listed actions, one by one, recording each before and after.

The executor walks the plan; the worker process does what needs an accelerator; the journal makes a
killed run go on. Never: words for a terminal, rules of single kinds that a plan would not know,
torch.
"""
