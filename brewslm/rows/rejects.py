"""The closed lists of reject and hold codes, each with what to do about it.

A reject is a row that stayed out; a held example was accepted and is in no set. Codes are never
renamed or given another meaning.
"""

from enum import StrEnum


class RejectCode(StrEnum):
    """Why a row stayed out; the first check that fails names it."""

    PARSE_ERROR = "parse_error"
    """Not one well-formed JSON value, or malformed CSV quoting."""
    TRUNCATED_LAST_LINE = "truncated_last_line"
    """The last line has no end and does not parse."""
    DUPLICATE_KEY = "duplicate_key"
    """A key twice in one object."""
    NOT_AN_OBJECT = "not_an_object"
    """The record is no object."""
    NUMBER_NOT_FINITE = "number_not_finite"
    """NaN or an infinity."""
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    """A number that does not fit exactly."""
    INVALID_UNICODE = "invalid_unicode"
    """Broken UTF-8 or a lone surrogate."""
    CONTROL_CHARACTER = "control_character"
    """NUL in a key or string."""
    NESTING_TOO_DEEP = "nesting_too_deep"
    """Deeper than 32 levels."""
    ROW_TOO_LARGE = "row_too_large"
    """Longer than 1 MiB."""
    COLUMN_COUNT_MISMATCH = "column_count_mismatch"
    """A record with another number of cells than the header."""
    UNSUPPORTED_VALUE_TYPE = "unsupported_value_type"
    """A binary, map or extension value."""

    WRONG_TYPE = "wrong_type"
    """The bound field has another JSON type."""
    MISSING_TEXT = "missing_text"
    """Text absent or blank."""
    EMPTY_TEXT = "empty_text"
    """Text rebuilt from tokens is blank."""
    MISSING_LABEL = "missing_label"
    """No label."""
    MISSING_TOKENS = "missing_tokens"
    """No tokens."""
    MISSING_LABELS = "missing_labels"
    """No tags."""
    LENGTH_MISMATCH = "length_mismatch"
    """Lists that belong together differ in length."""
    OFFSET_MISMATCH = "offset_mismatch"
    """Tokens or entity texts do not lie at their offsets."""
    INVALID_TAG_SEQUENCE = "invalid_tag_sequence"
    """A tag that is no O, B-X or I-X."""
    MISSING_QUESTION = "missing_question"
    """Question absent or blank."""
    MISSING_CONTEXT = "missing_context"
    """Context absent or blank."""
    MISSING_ANSWER = "missing_answer"
    """Answer absent or blank."""
    MISSING_PROMPT = "missing_prompt"
    """Prompt absent or blank."""
    MISSING_COMPLETION = "missing_completion"
    """Completion absent or blank."""
    MISSING_INSTRUCTION = "missing_instruction"
    """Neither instruction nor input."""
    MISSING_OUTPUT = "missing_output"
    """Output absent or blank."""
    MISSING_CHOSEN = "missing_chosen"
    """Chosen answer absent or blank."""
    MISSING_REJECTED = "missing_rejected"
    """Rejected answer absent or blank."""
    IDENTICAL_PAIR = "identical_pair"
    """Chosen and rejected answer do not differ."""
    MISSING_MESSAGES = "missing_messages"
    """Messages absent or empty."""
    MISSING_CONVERSATIONS = "missing_conversations"
    """Conversations absent or empty."""
    INVALID_MESSAGES_SHAPE = "invalid_messages_shape"
    """Not a list of objects with role and content."""
    UNKNOWN_ROLE = "unknown_role"
    """A role outside system, user, assistant, tool."""
    EMPTY_TURN = "empty_turn"
    """A blank turn."""
    INVALID_ROLE_ORDER = "invalid_role_order"
    """System turn not first, or roles that cannot follow each other."""
    NO_VALID_TURNS = "no_valid_turns"
    """Nothing but system turns."""
    MISSING_ASSISTANT_REPLY = "missing_assistant_reply"
    """The last turn is not the assistant's."""
    NO_FIELDS_EXTRACTED = "no_fields_extracted"
    """Every declared field is blank."""
    REFERENCE_NOT_JSON = "reference_not_json"
    """The answer should be JSON and is not."""
    INVALID_TRAIN_FLAG = "invalid_train_flag"
    """A train, loss or weight of a turn that is neither true nor false, 1 nor 0."""
    UNSUPPORTED_CONTENT = "unsupported_content"
    """A turn with a part that is no text."""
    CONFLICTING_SYSTEM = "conflicting_system"
    """A system column and a system turn that differ."""
    INVALID_TOOL_CALL = "invalid_tool_call"
    """A tool outside the catalogue, or arguments that do not fit its schema."""

    LABEL_NOT_ALLOWED = "label_not_allowed"
    """A label outside the allowed ones."""
    MISSING_REQUIRED_FIELD = "missing_required_field"
    """A field that the contract requires is absent."""
    SCHEMA_VIOLATION = "schema_violation"
    """The answer does not fit the JSON Schema."""
    SPAN_OUT_OF_RANGE = "span_out_of_range"
    """An entity outside its text, empty, or with another text."""
    TEXT_TOO_SHORT = "text_too_short"
    """Fewer characters than cleaning.min_chars."""
    TEXT_TOO_LONG = "text_too_long"
    """More characters than cleaning.max_chars."""
    TEMPLATE_ERROR = "template_error"
    """The chat template cannot render the turns."""
    TEMPLATE_IGNORES_TOOLS = "template_ignores_tools"
    """The chat template renders the row as if it had no tools, or no tool calls."""
    SPECIAL_TOKEN_IN_TEXT = "special_token_in_text"  # noqa: S105  a code about tokens is none
    """A text that holds a special token of the base's tokenizer, such as the end of a turn."""
    ANSWER_NOT_SEPARABLE = "answer_not_separable"
    """The tokens of an answer cannot be told from those around them for sure."""

    SECRET_IN_ROW = "secret_in_row"  # noqa: S105  a code about secrets is none
    """A credential in the row."""


class HoldCode(StrEnum):
    """Why an accepted example is in no set."""

    NEAR_DUPLICATE = "near_duplicate"
    """A similar example with a smaller row_id stays."""
    PENDING_REVIEW = "pending_review"
    """A synthetic row without approval."""
    LEAK_HELD = "leak_held"
    """Resembles a row of the test set that the split made."""
    WEIGHT_EXCLUDED = "weight_excluded"
    """Left out by a source weight under 1."""
    CAPPED = "capped"
    """Beyond dataset.max_examples."""


_FILL = "fill the field, or bind the right column"
REMEDIES: dict[RejectCode, str] = {
    RejectCode.PARSE_ERROR: "mend the line",
    RejectCode.TRUNCATED_LAST_LINE: "let the writer finish; end the file with a line feed",
    RejectCode.DUPLICATE_KEY: "keep one of the two keys",
    RejectCode.NOT_AN_OBJECT: "write one object a line",
    RejectCode.NUMBER_NOT_FINITE: "write null or text",
    RejectCode.NUMBER_OUT_OF_RANGE: "write null or text; quote large ids",
    RejectCode.INVALID_UNICODE: "re-encode the file as UTF-8",
    RejectCode.CONTROL_CHARACTER: "remove the NUL character",
    RejectCode.NESTING_TOO_DEEP: "flatten the row",
    RejectCode.ROW_TOO_LARGE: "split the row",
    RejectCode.COLUMN_COUNT_MISMATCH: "quote delimiters and line breaks inside cells",
    RejectCode.UNSUPPORTED_VALUE_TYPE: "convert the column to text",
    RejectCode.WRONG_TYPE: "convert the value at the source",
    RejectCode.MISSING_TEXT: "fill, or delete the row",
    RejectCode.EMPTY_TEXT: "fill, or delete the row",
    RejectCode.MISSING_LABEL: "label, or delete the row",
    RejectCode.MISSING_TOKENS: "export the annotation again",
    RejectCode.MISSING_LABELS: "export the annotation again",
    RejectCode.LENGTH_MISMATCH: "export the annotation again",
    RejectCode.OFFSET_MISMATCH: "use the text that was annotated",
    RejectCode.INVALID_TAG_SEQUENCE: "convert the tags to O, B-X and I-X",
    RejectCode.MISSING_QUESTION: _FILL,
    RejectCode.MISSING_CONTEXT: f"{_FILL}; question answering without context is the profile qa",
    RejectCode.MISSING_ANSWER: _FILL,
    RejectCode.MISSING_PROMPT: _FILL,
    RejectCode.MISSING_COMPLETION: _FILL,
    RejectCode.MISSING_INSTRUCTION: _FILL,
    RejectCode.MISSING_OUTPUT: _FILL,
    RejectCode.MISSING_CHOSEN: "complete the pair, or drop it",
    RejectCode.MISSING_REJECTED: "complete the pair, or drop it",
    RejectCode.IDENTICAL_PAIR: "complete the pair, or drop it",
    RejectCode.MISSING_MESSAGES: "map `messages` to the right column",
    RejectCode.MISSING_CONVERSATIONS: "map `conversations` to the right column",
    RejectCode.INVALID_MESSAGES_SHAPE: "write a list of objects with role and content",
    RejectCode.UNKNOWN_ROLE: "rename the role to system, user, assistant or tool, or map it in"
    " adapter_config.role_map",
    RejectCode.EMPTY_TURN: "fill or delete the turn",
    RejectCode.INVALID_ROLE_ORDER: "put the system turn first and let the turns alternate",
    RejectCode.NO_VALID_TURNS: "add a user turn and a reply",
    RejectCode.MISSING_ASSISTANT_REPLY: (
        "add a reply; require_assistant_reply: false is for evaluation prompts"
    ),
    RejectCode.NO_FIELDS_EXTRACTED: "set skip_empty_fields: false, or drop the row",
    RejectCode.REFERENCE_NOT_JSON: "write the answer as JSON",
    RejectCode.INVALID_TRAIN_FLAG: "write train: true or train: false, once in the turn",
    RejectCode.UNSUPPORTED_CONTENT: "leave only text parts, or drop the row",
    RejectCode.CONFLICTING_SYSTEM: "keep one of the two system texts",
    RejectCode.INVALID_TOOL_CALL: "mend the call or the catalogue",
    RejectCode.LABEL_NOT_ALLOWED: "add the label to the contract, or correct the row",
    RejectCode.MISSING_REQUIRED_FIELD: "fill the field, or drop it from the contract",
    RejectCode.SCHEMA_VIOLATION: "mend the value or the schema",
    RejectCode.SPAN_OUT_OF_RANGE: "annotate the row again",
    RejectCode.TEXT_TOO_SHORT: "lower cleaning.min_chars, or drop the row",
    RejectCode.TEXT_TOO_LONG: "raise cleaning.max_chars, or drop the row",
    RejectCode.TEMPLATE_ERROR: "change the roles, or the chat template",
    RejectCode.TEMPLATE_IGNORES_TOOLS: (
        "take a base model whose chat template renders tools, or remove them from the rows"
    ),
    RejectCode.SPECIAL_TOKEN_IN_TEXT: "remove or respell the token in the row",
    RejectCode.ANSWER_NOT_SEPARABLE: "change how the answer begins or ends, or drop the row",
    RejectCode.SECRET_IN_ROW: "remove the credential from the row and rotate it",
}


class RejectedRow(Exception):  # noqa: N818  control flow inside the room, never seen outside it
    """A row that stays out: code, the field at fault, and what was seen, without row text."""

    def __init__(self, code: RejectCode, field_path: str = "", detail: str = "") -> None:
        """detail: types, positions and names of fields, labels or rules."""
        super().__init__(code)
        self.code = code
        self.field_path = field_path
        self.detail = detail
