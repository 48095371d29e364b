"""`brewslm.yaml` into one frozen, fully checked value, or a list of findings with positions.

Never: the state, plans, rows, a socket.
"""
