"""Keep bytes by their SHA-256 and verify them on the way out.

Also remembers which fingerprint produced which outputs. Never: the meaning of the bytes.
"""
