"""Direct preference optimisation: pairs against a reference."""

from typing import get_args

from brewslm.stages.mode import Mode, takes_pairs
from brewslm.stages.modes._preference import PREFERENCE_RATE_LIMIT, check_preference
from brewslm.stages.recipe.preference import DpoLoss, PreferenceFields

MODE = Mode(
    name="dpo",
    takes=takes_pairs,
    is_usual=True,
    fields=PreferenceFields,
    ignored=("max_seq_length",),
    losses=get_args(DpoLoss),
    rate_limit=PREFERENCE_RATE_LIMIT,
    check=check_preference,
)
