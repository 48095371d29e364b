"""Compare wanted, remembered and real; say in order what would be done, why, and at what price.

A plan is one frozen value; text, JSON, Markdown and the saved file are views of it. Never: clocks,
the network, writes, the accelerator libraries.
"""
