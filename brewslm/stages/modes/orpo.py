"""Odds-ratio preference optimisation: pairs without a reference."""

from brewslm.stages.mode import Mode, takes_pairs
from brewslm.stages.modes._preference import PREFERENCE_RATE_LIMIT, check_preference
from brewslm.stages.recipe.preference import PreferenceFields

MODE = Mode(
    name="orpo",
    takes=takes_pairs,
    fields=PreferenceFields,
    ignored=("max_seq_length",),
    rate_limit=PREFERENCE_RATE_LIMIT,
    check=check_preference,
)
