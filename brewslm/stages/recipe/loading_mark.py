"""Marks of fields that say how a base model is loaded."""

from enum import StrEnum


class LoadingMark(StrEnum):
    """Marks a field that says how a base model is loaded, and how its value enters the identity of
    what the loaded model answers.
    """

    COUNTS = "counts"
    COUNTS_UNLESS_DEFAULT = "counts_unless_default"
    """For a field that was marked later: identities made with its default stay as they were."""
