"""The manifest that a new project begins with: small, commented, and without an error finding.

Text for people to edit. What a data file suggests comes in as proposals; nothing is read here.
"""

from collections.abc import Iterator

from brewslm.rows.introspect import Proposal
from brewslm.stages.mode import MODES
from brewslm.tasks.builtin_packs import BUILTIN_PACKS
from brewslm.tasks.task import Reference, form_of

DEFAULT_PACK_ID = "evalpack.local.offline"
"""Needs no judge and no network."""
DEFAULT_LOCATOR = "jsonl:data/rows.jsonl"
_TEMPLATE = Proposal(
    mapper_id="label_to_classification",
    target_task_profile="classification",
    field_map={"text": "text", "label": "label"},
    confidence=1.0,
    rationale='rows such as {"text": "The parcel is late", "label": "delivery"}',
)
SHORT_TOKENS = 512
"""What max_seq_length begins with."""
SMALL_ROWS = 50
"""Below it a validation set would have a handful of rows."""
_MAX_NAME_CHARS = 255


def starter_text(
    *,
    name: str,
    proposal: Proposal | None = None,
    rows: int = 0,
    locator: str = DEFAULT_LOCATOR,
    gold_locator: str | None = None,
    max_seq_length: int = SHORT_TOKENS,
) -> str:
    """Return the text of a starter manifest.

    name: of the project; proposal: the one for the data file, None writes the template for
    classification; rows: how many the file has; locator: of the rows; gold_locator: of rows that
    are only evaluated, whose gates are those of the task's default pack; max_seq_length: in tokens.
    """
    chosen = proposal or _TEMPLATE
    is_small = proposal is not None and rows < SMALL_ROWS
    sections = (
        _envelope(name, has_data=proposal is not None),
        _model(),
        _sources(locator, gold_locator),
        _adapters(chosen, has_data=proposal is not None),
        _dataset(chosen, is_small=is_small),
        _training(chosen, max_seq_length, is_small=is_small),
        _evaluation(chosen.target_task_profile, has_gold=gold_locator is not None),
        _export(),
    )
    return "\n".join("\n".join(lines) + "\n" for lines in sections)


def _envelope(name: str, *, has_data: bool) -> list[str]:
    shown = "".join(char for char in name if char.isprintable()).strip()[:_MAX_NAME_CHARS]
    hint = "# brewslm plan shows what would be done, brewslm apply does it."
    rows_hint = ["# Put rows at the locator below first."]
    return [
        "# What this project should be.",
        hint,
        *([] if has_data else rows_hint),
        "api_version: brewslm/v1",
        "kind: Project",
        "metadata:",
        f"  name: {_quoted(shown or 'project')}",
        "spec:",
    ]


def _model() -> list[str]:
    return [
        "  model:",
        "    # Shipped with brewslm, for trying things out: no download, a minute on a laptop.",
        "    # For real work name a Hub id and the commit in revision, or a folder as ./folder.",
        "    base_model: builtin:nano",
    ]


def _sources(locator: str, gold_locator: str | None) -> list[str]:
    lines = [
        "  data_sources:",
        "    - name: rows",
        "      type: raw # cleaned, deduplicated, then split",
        f"      locator: {_quoted(locator)}",
        "      adapter: mapping",
    ]
    if gold_locator is None:
        return [
            *lines,
            "    # A source of type gold_test is never trained on, and gates can decide.",
        ]
    return [
        *lines,
        "    - name: gold",
        "      type: gold_test # never trained on",
        f"      locator: {_quoted(gold_locator)}",
        "      adapter: mapping",
    ]


def _adapters(proposal: Proposal, *, has_data: bool) -> list[str]:
    found = f"Found in the data, confidence {proposal.confidence:.2f}: " if has_data else "Expects "
    return [
        "  adapters:",
        f"    # {found}{_comment(proposal.rationale)}.",
        *(f"    # Note: {_comment(warning)}." for warning in proposal.warnings),
        *_adapter_lines(proposal),
    ]


def _adapter_lines(proposal: Proposal) -> Iterator[str]:
    yield "    - name: mapping"
    yield f"      base_adapter_id: {proposal.mapper_id}"
    yield f"      task_profile: {proposal.target_task_profile}"
    yield "      field_mapping: # field of the mapper: column of the rows"
    for name, column in sorted(proposal.field_map.items()):
        yield f"        {name}: {_quoted(column)}"


def _dataset(proposal: Proposal, *, is_small: bool) -> list[str]:
    profile = proposal.target_task_profile
    lines = ["  dataset:", f"    task_profile: {profile}"]
    if is_small:
        lines += [
            "    # Too few rows for a validation set of its own.",
            "    split: {train: 0.8, validation: 0, test: 0.2}",
        ]
    if proposal.labels and form_of(profile).reference is Reference.LABEL:
        lines += [
            "    contract:",
            "      allowed_labels: # a row with any other label is rejected",
            *(f"        - {_quoted(label)}" for label in proposal.labels),
        ]
    return lines


def _training(proposal: Proposal, max_seq_length: int, *, is_small: bool) -> list[str]:
    mode = _mode(proposal)
    is_preference = form_of(proposal.target_task_profile).is_of_pairs
    length = (
        ["      alignment_max_prompt_length: 256", "      alignment_max_length: 512"]
        if is_preference
        else [
            f"      max_seq_length: {max_seq_length} # tokens; longer rows are left out and counted"
        ]
    )
    evaluation = (
        ['      eval_strategy: "no" # there is no validation set']
        if is_small
        else ["      eval_steps: 20"]
    )
    return [
        "  training_plan:",
        f"    training_mode: {mode}",
        "    config:",
        "      lora_r: 16",
        "      lora_alpha: 32",
        "      target_modules: all-linear",
        f"      learning_rate: {'2.0e-5' if is_preference else '1.0e-3'}",
        "      optimizer: adamw_torch",
        "      max_steps: 120 # about a minute; delete it to train for num_epochs",
        *length,
        "      sequence_packing: false",
        "      flash_attention: false # true on a GPU that has it",
        "      bf16: false # true on a GPU",
        *evaluation,
        "      save_steps: 20",
    ]


def _mode(proposal: Proposal) -> str:
    form = form_of(proposal.target_task_profile)
    return next(name for name, mode in MODES.all().items() if mode.is_usual and mode.takes(form))


def _evaluation(profile: str, *, has_gold: bool) -> list[str]:
    lines = [
        "  eval_pack:",
        f"    datasets: [{'gold' if has_gold else 'test'}]",
        "    eval_types: [] # all metrics of the task",
        "    compare_to: base_model",
    ]
    pack = BUILTIN_PACKS[DEFAULT_PACK_ID]
    if not has_gold or profile not in pack.profiles():
        return [
            *lines,
            "    # Gates decide what may be promoted. With gold rows write",
            f"    # pack_id: {DEFAULT_PACK_ID}",
        ]
    gates = ", ".join(gate.name for gate in pack.spec_for(profile).gates)
    return [*lines, f"    # Its gates: {gates}.", f"    pack_id: {DEFAULT_PACK_ID}"]


def _export() -> list[str]:
    return [
        "  export:",
        "    formats: [adapter]",
        "  # deployment: {alias: champion} # moves when every required gate passes",
    ]


def _quoted(text: str) -> str:
    """Return a double-quoted YAML scalar that means exactly this text."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08X}"


def _comment(text: str) -> str:
    """Return text that stays on its line."""
    return "".join(char if char.isprintable() else " " for char in text).rstrip(".")
