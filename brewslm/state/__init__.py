"""Remember what was applied, safely, under a lease.

Stores keep plain data and know no kinds. Every write says which fence it holds. Never: the
manifest, stages, tasks, rows.
"""
