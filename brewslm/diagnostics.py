"""Findings: what is wrong with user input, where, and what to do.

A finding has a stable code, a severity and a place. Checks collect findings into a list beside
their value; nothing below the command line stops at the first one.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from msgspec import Struct, to_builtins

from brewslm.errors import ExitCode


class Severity(StrEnum):
    """How much a finding weighs; only errors change the exit code."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for errors, 1 for warnings, 2 for infos: the order in which they are shown."""
        return _RANK[self]


_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class FindingCode(StrEnum):
    """Closed list of finding codes; a code is never renamed or given another meaning."""

    YAML_ENCODING = "YAML_ENCODING"
    """Not UTF-8, or control characters."""
    YAML_MULTIPLE_DOCUMENTS = "YAML_MULTIPLE_DOCUMENTS"
    """More than one document in a file."""
    YAML_SYNTAX = "YAML_SYNTAX"
    """Not well-formed YAML."""
    MANIFEST_EMPTY = "MANIFEST_EMPTY"
    """Nothing in the file."""
    MANIFEST_NOT_A_MAPPING = "MANIFEST_NOT_A_MAPPING"
    """The root is no mapping."""
    YAML_TOO_LARGE = "YAML_TOO_LARGE"
    """Over 1 MiB."""
    YAML_TOO_DEEP = "YAML_TOO_DEEP"
    """Over 32 levels deep."""
    YAML_ALIAS_LIMIT = "YAML_ALIAS_LIMIT"
    """Over 100 aliases, over 50,000 nodes after expansion, or an alias inside its own anchor."""
    YAML_MERGE_KEY = "YAML_MERGE_KEY"
    """A merge key."""
    YAML_TAG = "YAML_TAG"
    """A tag beyond the core ones."""
    YAML_DUPLICATE_KEY = "YAML_DUPLICATE_KEY"
    """A key twice in one mapping."""
    YAML_KEY_NOT_STRING = "YAML_KEY_NOT_STRING"
    """A key that is no string."""
    WRONG_TYPE = "WRONG_TYPE"
    """A value of another type, such as a string for a number."""
    NON_FINITE_NUMBER = "NON_FINITE_NUMBER"
    """Infinity, NaN or overflow."""
    NUMBER_FORMAT = "NUMBER_FORMAT"
    """Underscore, leading zero, binary form, or beyond 2^53 - 1."""
    UNQUOTED_DATE = "UNQUOTED_DATE"
    """A date or time without quotes."""
    NULL_NOT_ALLOWED = "NULL_NOT_ALLOWED"
    """Null where a value is needed."""
    VARIABLE_LITERAL = "VARIABLE_LITERAL"
    """`${NAME}`, which is plain text here."""
    AUTOFIX_OPTIMIZER = "AUTOFIX_OPTIMIZER"
    """An optimizer of bitsandbytes without CUDA or without that package: adamw_torch."""
    AUTOFIX_PRECISION = "AUTOFIX_PRECISION"
    """Bfloat16 or float16 that the device does not compute natively, or no CUDA: float32."""
    AUTOFIX_TWO_PRECISIONS = "AUTOFIX_TWO_PRECISIONS"
    """`bf16` and `fp16` both true: bf16 where supported, else fp16."""
    AUTOFIX_ATTENTION = "AUTOFIX_ATTENTION"
    """Flash attention without CUDA or without its package: sdpa."""
    AUTOFIX_PACKING = "AUTOFIX_PACKING"
    """Packing where the attention cannot keep packed rows apart: `sequence_packing` false."""
    AUTOFIX_PADDING_FREE = "AUTOFIX_PADDING_FREE"
    """Padding-free batches without flash attention: false."""
    AUTOFIX_BATCH_NO_CUDA = "AUTOFIX_BATCH_NO_CUDA"
    """Profile max_quality without CUDA, batch above 2: 2."""
    AUTOFIX_SEQ_LENGTH = "AUTOFIX_SEQ_LENGTH"
    """Length above the model's context: the context."""
    AUTOFIX_TARGET_MODULES = "AUTOFIX_TARGET_MODULES"
    """Default names absent from the model: `auto`."""
    AUTOFIX_NO_VALIDATION = "AUTOFIX_NO_VALIDATION"
    """The validation set is empty: `eval_strategy` no, `early_stopping_patience` 0."""
    AUTOFIX_EVAL_STEPS = "AUTOFIX_EVAL_STEPS"
    """Fewer steps in the run than `eval_steps`: one evaluation an epoch."""
    AUTOFIX_SAVE_STEPS = "AUTOFIX_SAVE_STEPS"
    """Best model wanted, and saving does not meet evaluation: the strategy of evaluation, the next
    multiple of its steps.
    """
    AUTOFIX_SPLIT = "AUTOFIX_SPLIT"
    """Ratios unwritten, and a validation source exists / a test or gold_test source exists:
    `split.validation` / `split.test` 0, the share goes to train.
    """
    AUTOFIX_EVAL_DATASETS = "AUTOFIX_EVAL_DATASETS"
    """No source carries the named roles: the prepared `test` set."""
    AUTOFIX_WARMUP = "AUTOFIX_WARMUP"
    """A run of one step, which a warm-up would leave without any rate: no warm-up."""
    CHAT_TEMPLATE_CHOSEN = "CHAT_TEMPLATE_CHOSEN"
    """The base model has no chat template, and its tokenizer lacks the tokens of the default one:
    a template that it has the tokens of.
    """
    UNSUPPORTED_API_VERSION = "UNSUPPORTED_API_VERSION"
    """Api_version of another schema."""
    UNSUPPORTED_KIND = "UNSUPPORTED_KIND"
    """Kind of another schema."""
    UNKNOWN_KEY = "UNKNOWN_KEY"
    """A key that this section does not have."""
    FOREIGN_KEY = "FOREIGN_KEY"
    """A name of another tool."""
    MISSING_FIELD = "MISSING_FIELD"
    """A required field absent or blank."""
    INVALID_VALUE = "INVALID_VALUE"
    """Not in the list."""
    OUT_OF_RANGE = "OUT_OF_RANGE"
    """Outside the range."""
    ALIAS_USED = "ALIAS_USED"
    """Another spelling of a known value."""
    PLACEHOLDER_VALUE = "PLACEHOLDER_VALUE"
    """`sha256:...` and the like."""
    DUPLICATE_MEANING = "DUPLICATE_MEANING"
    """Alias and canonical key together."""
    VALUE_UNAVAILABLE = "VALUE_UNAVAILABLE"
    """Understood, not available here."""
    OPEN_KEY_UNREAD = "OPEN_KEY_UNREAD"
    """Keys of an open map that nothing reads."""
    SECTION_WITHOUT_EFFECT = "SECTION_WITHOUT_EFFECT"
    """A section without its model or data."""
    FIELD_UNUSED = "FIELD_UNUSED"
    """Written but idle: `bnb_4bit_*` without 4 bit, `distillation_*` outside kd, `alignment_*`
    outside preference modes, `max_seq_length` in them.
    """
    DUPLICATE_DATASET_NAME = "DUPLICATE_DATASET_NAME"
    """A name twice, also after case folding."""
    DUPLICATE_ADAPTER_NAME = "DUPLICATE_ADAPTER_NAME"
    """A name twice, also after case folding."""
    DUPLICATE_GATE_ID = "DUPLICATE_GATE_ID"
    """A name twice, also after case folding."""
    NAME_CHARACTERS = "NAME_CHARACTERS"
    """Control, bidirectional or zero-width characters."""
    PATH_OUTSIDE_PROJECT = "PATH_OUTSIDE_PROJECT"
    """Absolute, `..`, a link that leaves the folder."""
    PATH_NOT_REGULAR_FILE = "PATH_NOT_REGULAR_FILE"
    """A folder, device or pipe."""
    SECRET_IN_MANIFEST = "SECRET_IN_MANIFEST"
    """A literal that looks like a credential."""
    SECRET_NOT_ALLOWED = "SECRET_NOT_ALLOWED"
    """`secret://` where none is read."""
    UNKNOWN_PIPELINE_STAGE = "UNKNOWN_PIPELINE_STAGE"
    """Not a known id."""
    UNKNOWN_TARGET_PROFILE = "UNKNOWN_TARGET_PROFILE"
    """Not a known id."""
    BUDGET_CONFLICT = "BUDGET_CONFLICT"
    """`cap` and `max_cost_usd` differ."""
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    """The estimate is above a limit."""
    BUDGET_COST_UNPRICED = "BUDGET_COST_UNPRICED"
    """A cost limit, but no price for the runtime."""
    BACKEND_URL = "BACKEND_URL"
    """Unknown scheme or credentials inside."""
    BACKEND_CHANGED = "BACKEND_CHANGED"
    """Not the backend that holds the state."""
    PROTECTED = "PROTECTED"
    """A delete in a protected project."""
    BLUEPRINT_DOMAIN_NAME_REQUIRED = "BLUEPRINT_DOMAIN_NAME_REQUIRED"
    """Empty text."""
    BLUEPRINT_PROBLEM_STATEMENT_REQUIRED = "BLUEPRINT_PROBLEM_STATEMENT_REQUIRED"
    """Empty text."""
    BLUEPRINT_TARGET_PERSONA_REQUIRED = "BLUEPRINT_TARGET_PERSONA_REQUIRED"
    """Empty text."""
    BLUEPRINT_OUTPUT_SCHEMA_REQUIRED = "BLUEPRINT_OUTPUT_SCHEMA_REQUIRED"
    """Classification or extraction without a schema."""
    BLUEPRINT_DEPLOYMENT_CONSTRAINT_CONFLICT = "BLUEPRINT_DEPLOYMENT_CONSTRAINT_CONFLICT"
    """Offline and cloud inference both required."""
    BLUEPRINT_LOW_CONFIDENCE_BLUEPRINT = "BLUEPRINT_LOW_CONFIDENCE_BLUEPRINT"
    """Confidence under 0.45."""
    BLUEPRINT_UNRESOLVED_ASSUMPTIONS = "BLUEPRINT_UNRESOLVED_ASSUMPTIONS"
    """Open assumptions."""
    TASK_FAMILY_MISMATCH = "TASK_FAMILY_MISMATCH"
    """Blueprint and task profile differ."""
    UNKNOWN_DOMAIN_PACK = "UNKNOWN_DOMAIN_PACK"
    """An id unknown here."""
    UNKNOWN_DOMAIN_PROFILE = "UNKNOWN_DOMAIN_PROFILE"
    """An id unknown here."""
    BASE_MODEL_FORM = "BASE_MODEL_FORM"
    """Not one of the three forms."""
    REVISION_NOT_APPLICABLE = "REVISION_NOT_APPLICABLE"
    """`revision` with a folder or builtin."""
    CONFIG_CONFLICT = "CONFIG_CONFLICT"
    """Base model, mode or runtime in `config` says something else than its section."""
    MODEL_REVISION_UNPINNED = "MODEL_REVISION_UNPINNED"
    """A Hub id without a commit."""
    MODEL_NOT_CACHED = "MODEL_NOT_CACHED"
    """Files not here, so estimates are unknown."""
    MODEL_NOT_SAFETENSORS = "MODEL_NOT_SAFETENSORS"
    """Other weight files, or code that must be run."""
    FINGERPRINT_MISMATCH = "FINGERPRINT_MISMATCH"
    """Digest differs from `cache_fingerprint`."""
    SEQ_LENGTH_EXCEEDS_MODEL = "SEQ_LENGTH_EXCEEDS_MODEL"
    """Longer than the model's context."""
    TARGET_MODULE_NOT_FOUND = "TARGET_MODULE_NOT_FOUND"
    """A name matches no linear module."""
    TEMPLATE_TOKENS_MISSING = "TEMPLATE_TOKENS_MISSING"
    """The tokenizer lacks special tokens of the chosen chat template."""
    DOES_NOT_FIT = "DOES_NOT_FIT"
    """Predicted peak memory above the device's."""
    DEVICE_NOT_FOUND = "DEVICE_NOT_FOUND"
    """The wanted device is not on this machine, or torch was built without it."""
    DEVICE_MEMORY_UNKNOWN = "DEVICE_MEMORY_UNKNOWN"
    """Neither the driver nor its tools report the memory of the device, so fit is not checked."""
    DEVICE_MEMORY_ASSUMED = "DEVICE_MEMORY_ASSUMED"
    """The usable share of a memory that processor and accelerator have in common is assumed."""
    DEVICES_UNUSED = "DEVICES_UNUSED"
    """A run uses one device; others are visible."""
    CHECKPOINT_INVALID = "CHECKPOINT_INVALID"
    """A recorded checkpoint is missing or damaged; an older one, or the beginning, is used."""
    UNKNOWN_DATASET_TYPE = "UNKNOWN_DATASET_TYPE"
    """Not a role."""
    LOCATOR_CONFLICT = "LOCATOR_CONFLICT"
    """`locator` and `file_path` together."""
    LOCATOR_FORM = "LOCATOR_FORM"
    """Unknown scheme, `http:`."""
    SOURCE_LOCATOR_MISSING = "SOURCE_LOCATOR_MISSING"
    """A source without rows."""
    HTTPS_SOURCE_UNPINNED = "HTTPS_SOURCE_UNPINNED"
    """`https` without `sha256`."""
    HF_SOURCE_UNPINNED = "HF_SOURCE_UNPINNED"
    """A Hub data set without a commit."""
    SOURCE_NOT_FOUND = "SOURCE_NOT_FOUND"
    """No such file."""
    SOURCE_DIGEST_MISMATCH = "SOURCE_DIGEST_MISMATCH"
    """Other bytes than `sha256`."""
    RECORD_COUNT_MISMATCH = "RECORD_COUNT_MISMATCH"
    """Other number of rows."""
    UNKNOWN_ADAPTER = "UNKNOWN_ADAPTER"
    """No such adapter."""
    UNKNOWN_MAPPER = "UNKNOWN_MAPPER"
    """No such mapper."""
    ADAPTER_BINDING_AMBIGUOUS = "ADAPTER_BINDING_AMBIGUOUS"
    """Two adapters fit one source."""
    ADAPTER_UNUSED = "ADAPTER_UNUSED"
    """An adapter that serves no source."""
    FIELD_MAPPING_REVERSED = "FIELD_MAPPING_REVERSED"
    """No key is a field of the mapper, but values are."""
    MAPPER_OPTION = "MAPPER_OPTION"
    """Unknown, missing or unfit option or field."""
    COLUMN_NOT_FOUND = "COLUMN_NOT_FOUND"
    """A mapped column is in no row."""
    MAPPING_LOW_CONFIDENCE = "MAPPING_LOW_CONFIDENCE"
    """Introspection is not sure."""
    TASK_PROFILE_CONFLICT = "TASK_PROFILE_CONFLICT"
    """Adapters disagree, or with `dataset`."""
    SPLIT_RATIOS = "SPLIT_RATIOS"
    """The sum is not 1."""
    SPLIT_STRATIFY_METHOD = "SPLIT_STRATIFY_METHOD"
    """`stratify_by` with hash."""
    SPLIT_EMPTY = "SPLIT_EMPTY"
    """A set with a share above 0 has no rows."""
    NO_TRAIN_ROWS = "NO_TRAIN_ROWS"
    """Nothing to train on."""
    SIMILAR_ROWS_HELD = "SIMILAR_ROWS_HELD"
    """Training rows are left out because they resemble test rows of the split."""
    SIMILAR_ROWS_GROUPED = "SIMILAR_ROWS_GROUPED"
    """Rows that resemble each other were placed in one set."""
    SIMILAR_ROWS_KEPT = "SIMILAR_ROWS_KEPT"
    """Training rows resemble test rows of the split and stay in training."""
    JSON_SCHEMA_INVALID = "JSON_SCHEMA_INVALID"
    """Not a 2020-12 schema, remote reference."""
    REJECT_RATE_EXCEEDED = "REJECT_RATE_EXCEEDED"
    """More rejects than allowed."""
    PII_FOUND = "PII_FOUND"
    """Kinds and counts, never the text."""
    LEAK_FOUND = "LEAK_FOUND"
    """Rows shared by train and evaluation, by layer."""
    MIX_BACK_SOURCE = "MIX_BACK_SOURCE"
    """Unknown source, a gold source, or fraction 0 with a source."""
    WEIGHTS_NOT_TRAINED = "WEIGHTS_NOT_TRAINED"
    """An adapter of a version that ignored the weights of sources."""
    MIX_BACK_SHORT = "MIX_BACK_SHORT"
    """Fewer rows to mix back than the share asks for."""
    MODE_TASK_MISMATCH = "MODE_TASK_MISMATCH"
    """The mode cannot learn from this task profile."""
    NO_TRAINING_TARGET = "NO_TRAINING_TARGET"
    """Accepted rows without an answer."""
    ROWS_TOO_LONG = "ROWS_TOO_LONG"
    """Rows over the token limit, with the lengths at 50, 95, 100 %."""
    PROFILE_OVERRIDDEN = "PROFILE_OVERRIDDEN"
    """A written value where the profile has a rule."""
    PRECISION_CONFLICT = "PRECISION_CONFLICT"
    """Two written values disagree: `dtype` and `bf16`/`fp16`."""
    ATTENTION_CONFLICT = "ATTENTION_CONFLICT"
    """`attn_implementation` and `flash_attention`."""
    QUANTIZATION_UNAVAILABLE = "QUANTIZATION_UNAVAILABLE"
    """The device cannot load nf4, fp4, int8."""
    DEPENDENCY_MISSING = "DEPENDENCY_MISSING"
    """The recipe needs a package that is not installed."""
    LORA_INIT_QUANTIZED = "LORA_INIT_QUANTIZED"
    """Olora or pissa on a quantised base."""
    OPTIMIZER_NOT_FOR_LORA = "OPTIMIZER_NOT_FOR_LORA"
    """Galore, apollo, lomo families."""
    KD_TEACHER_MISSING = "KD_TEACHER_MISSING"
    """Kd with neither teacher nor offline outputs."""
    LOSS_TYPE_MODE = "LOSS_TYPE_MODE"
    """A loss of another mode."""
    KL_MODE = "KL_MODE"
    """`kl_lambda` above 0 outside sft."""
    ALIGNMENT_LENGTHS = "ALIGNMENT_LENGTHS"
    """Prompt length not below total length."""
    KTO_BATCH = "KTO_BATCH"
    """Kto with `batch_size: 1`."""
    LEARNING_RATE_HIGH = "LEARNING_RATE_HIGH"
    """Above 5e-5 in dpo, orpo, kto; above 2e-3 elsewhere."""
    PACKING_GROUPING = "PACKING_GROUPING"
    """Written together: `group_by_length` and packing."""
    PADDING_FREE_ATTENTION = "PADDING_FREE_ATTENTION"
    """`padding_free` and eager or sdpa."""
    EARLY_STOP_WITHOUT_EVAL = "EARLY_STOP_WITHOUT_EVAL"
    """Patience written with `eval_strategy: no`."""
    WARMUP_TWICE = "WARMUP_TWICE"
    """Warmup ratio and steps."""
    EVAL_WITHOUT_ROWS = "EVAL_WITHOUT_ROWS"
    """Evaluation written, validation set empty."""
    BEST_MODEL_STEPS = "BEST_MODEL_STEPS"
    """Best model wanted, `save_steps` no multiple of `eval_steps`, or strategies differ."""
    STEPS_AND_EPOCHS = "STEPS_AND_EPOCHS"
    """`max_steps` overrides epochs."""
    TIME_LIMIT_NOT_REPRODUCIBLE = "TIME_LIMIT_NOT_REPRODUCIBLE"
    """`max_minutes` depends on speed."""
    UNKNOWN_EVAL_PACK = "UNKNOWN_EVAL_PACK"
    """No shipped pack of that id."""
    UNKNOWN_EVAL_DATASET = "UNKNOWN_EVAL_DATASET"
    """Neither source nor role."""
    EVAL_PACK_FILE = "EVAL_PACK_FILE"
    """Unreadable, other contract, other `pack_id`."""
    EVAL_SET_EMPTY = "EVAL_SET_EMPTY"
    """No set that is evaluated has a row."""
    EVAL_ON_TRAIN_ROWS = "EVAL_ON_TRAIN_ROWS"
    """A source or role whose rows are trained on."""
    METRIC_NOT_PRODUCED = "METRIC_NOT_PRODUCED"
    """A written entry of `eval_types`, or an optional gate's metric, that the task does not
    compute.
    """
    GATE_METRIC_UNKNOWN = "GATE_METRIC_UNKNOWN"
    """A required gate on such a metric."""
    GATE_THRESHOLD = "GATE_THRESHOLD"
    """Threshold missing or outside the metric's range."""
    GATE_DIRECTION = "GATE_DIRECTION"
    """Gte on a metric where lower is better."""
    GATE_OPTIONS = "GATE_OPTIONS"
    """`slice` with `slice_name`; worst_slice without `slice_name`; `max_regression` without
    `baseline`; `warn` on a required gate.
    """
    BASELINE_REQUIRED = "BASELINE_REQUIRED"
    """Policy asks for a baseline, `compare_to: none`."""
    NO_REQUIRED_GATE = "NO_REQUIRED_GATE"
    """Nothing would be checked."""
    GATE_UNDERPOWERED = "GATE_UNDERPOWERED"
    """Too few rows to see the margin gated on."""
    GATE_WEAKENED = "GATE_WEAKENED"
    """Lower bar, gate gone, required to optional, other rows, without leave."""
    REPEATS_ARE_EQUAL = "REPEATS_ARE_EQUAL"
    """`epochs` above 1 with temperature 0."""
    QUANTIZATION_UNUSED = "QUANTIZATION_UNUSED"
    """A format keeps the base dtype."""
    MERGE_FROM_QUANTIZED = "MERGE_FROM_QUANTIZED"
    """Trained on a quantised base, merged into the full one."""
    TARGET_FORMAT_MISMATCH = "TARGET_FORMAT_MISMATCH"
    """No exported format runs on the target."""
    TARGET_SIZE_LIMIT = "TARGET_SIZE_LIMIT"
    """More parameters than it allows."""
    MANIFEST_MISSING = "MANIFEST_MISSING"
    """No manifest in the project folder."""
    UNREADABLE = "UNREADABLE"
    """A file that cannot be read."""
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    """A file over its size limit."""
    OUTPUT_UNWRITABLE = "OUTPUT_UNWRITABLE"
    """An output path that cannot be written."""
    UNKNOWN_REVISION = "UNKNOWN_REVISION"
    """A git revision that is not here."""
    PATH_NOT_PORTABLE = "PATH_NOT_PORTABLE"
    """A path that other systems would read differently."""
    UNKNOWN_ADDRESS = "UNKNOWN_ADDRESS"
    """No resource of that address."""
    PARTIAL_PLAN = "PARTIAL_PLAN"
    """A part of the project was selected."""
    REFRESH_SKIPPED = "REFRESH_SKIPPED"
    """The record was trusted without looking."""
    CACHE_UNWRITABLE = "CACHE_UNWRITABLE"
    """The cache folder cannot be written."""
    PLAN_UNREADABLE = "PLAN_UNREADABLE"
    """Not a plan of a known format."""
    PLAN_DIGEST_MISMATCH = "PLAN_DIGEST_MISMATCH"
    """Not the approved plan."""
    PLAN_LINEAGE_MISMATCH = "PLAN_LINEAGE_MISMATCH"
    """A plan of another project."""
    PLAN_STALE = "PLAN_STALE"
    """State or manifest moved on."""
    INPUT_CHANGED = "INPUT_CHANGED"
    """An input file changed."""
    PLAN_INCOMPLETE = "PLAN_INCOMPLETE"
    """The plan carries an error."""
    APPROVAL_MISSING = "APPROVAL_MISSING"
    """Nobody approved."""
    POLICY_CHANGED = "POLICY_CHANGED"
    """The policy file changed."""
    POLICY_REFUSED = "POLICY_REFUSED"
    """The policy says no."""
    ENDPOINT_NOT_ALLOWED = "ENDPOINT_NOT_ALLOWED"
    """An endpoint outside the list."""
    FORMAT_REFUSED = "FORMAT_REFUSED"
    """A file format that can run code."""
    CONFIG_KEY_REFUSED = "CONFIG_KEY_REFUSED"
    """A model config key that is not on the list."""
    BASE_MISMATCH = "BASE_MISMATCH"
    """Other base bytes than recorded."""
    BASE_REVISION_MOVED = "BASE_REVISION_MOVED"
    """A branch or tag names another commit than the recorded one."""
    BASE_REFUSED = "BASE_REFUSED"
    """A base file or key that could run code."""
    BASE_WEIGHTS_MISSING = "BASE_WEIGHTS_MISSING"
    """Tensors of the base model that its config asks for are absent, or others are there."""
    MODEL_QUANTIZED = "MODEL_QUANTIZED"
    """Weights that are quantised in a way that cannot be trained on, or otherwise than the recipe
    says.
    """
    MODEL_NEEDS_CODE = "MODEL_NEEDS_CODE"
    """A base model of a type that the library does not know."""
    MODEL_ARCHITECTURE_UNFIT = "MODEL_ARCHITECTURE_UNFIT"
    """A base model that is no causal language model."""
    BASE_FILES_UNREAD = "BASE_FILES_UNREAD"
    """Files beside the base model's that are never loaded."""
    TEMPLATE_CHANGED = "TEMPLATE_CHANGED"
    """Another chat template than recorded."""
    SECRET_MISSING = "SECRET_MISSING"
    """A named secret is not set."""
    STATE_LOCKED = "STATE_LOCKED"
    """Somebody holds the lease."""
    STATE_CORRUPT = "STATE_CORRUPT"
    """The state fails its checks."""
    STATE_TOO_NEW = "STATE_TOO_NEW"
    """The state was written by a newer program."""
    ERRORED_STATE_PRESENT = "ERRORED_STATE_PRESENT"
    """A rescued state waits to be pushed."""
    HELD_BY_ROLLBACK = "HELD_BY_ROLLBACK"
    """The deployment is held after a rollback."""
    DELETE_BUDGET_EXCEEDED = "DELETE_BUDGET_EXCEEDED"
    """More deletes than allowed."""
    DISK_TOO_SMALL = "DISK_TOO_SMALL"
    """Not enough free disk."""
    SYSTEM_CONFIG_INVALID = "SYSTEM_CONFIG_INVALID"
    """A store or folder that cannot be used safely."""
    LABELS_ALIKE = "LABELS_ALIKE"
    """Labels that only their exact text tells apart when an answer is read."""
    LABEL_COLLISION = "LABEL_COLLISION"
    """Two labels that look equal."""
    DUPLICATE_COLUMN = "DUPLICATE_COLUMN"
    """A header name twice or empty."""
    SOURCE_NOT_FETCHED = "SOURCE_NOT_FETCHED"
    """A pointer of Git LFS in place of rows, or of a file of the base model."""
    SOURCE_STRUCTURE = "SOURCE_STRUCTURE"
    """A file that does not hold one list of rows, or goes on after its end."""
    ENCODING_UNSUPPORTED = "ENCODING_UNSUPPORTED"
    """A file that is not UTF-8."""
    MIN_ROWS_UNMET = "MIN_ROWS_UNMET"
    """Fewer train rows than the contract asks for."""
    LABEL_MISSING_IN_SPLIT = "LABEL_MISSING_IN_SPLIT"
    """A label without rows in a set."""
    LABEL_CONFLICT = "LABEL_CONFLICT"
    """One input with different answers."""
    LABELS_WITHOUT_GOLD = "LABELS_WITHOUT_GOLD"
    """Labels without gold rows."""
    SMALL_GOLD_SET = "SMALL_GOLD_SET"
    """Under 30 gold rows."""
    ROWS_ADJUSTED = "ROWS_ADJUSTED"
    """Rows in another form whose meaning is clear, and what was done to them."""
    COLUMNS_UNREAD = "COLUMNS_UNREAD"
    """Columns of a source, or keys of its turns, that nothing reads."""
    INVISIBLE_IN_IDENTIFIER = "INVISIBLE_IN_IDENTIFIER"
    """Invisible characters in a label, id or key."""
    MISSING_EXTRA = "MISSING_EXTRA"
    """An optional dependency is needed."""
    TEMPLATE_NOT_PREFIX_STABLE = "TEMPLATE_NOT_PREFIX_STABLE"
    """A rendered prompt is no prefix of the rendered answer."""


PREFLIGHT_CODES = frozenset(
    {
        FindingCode.GATE_WEAKENED,
        FindingCode.PROTECTED,
        FindingCode.BUDGET_EXCEEDED,
        FindingCode.DOES_NOT_FIT,
        FindingCode.DEVICE_NOT_FOUND,
        FindingCode.QUANTIZATION_UNAVAILABLE,
        FindingCode.DEPENDENCY_MISSING,
        FindingCode.LEAK_FOUND,
        FindingCode.PII_FOUND,
        FindingCode.PLAN_INCOMPLETE,
        FindingCode.POLICY_REFUSED,
        FindingCode.ENDPOINT_NOT_ALLOWED,
        FindingCode.FORMAT_REFUSED,
        FindingCode.CONFIG_KEY_REFUSED,
        FindingCode.BASE_MISMATCH,
        FindingCode.BASE_REFUSED,
        FindingCode.ERRORED_STATE_PRESENT,
        FindingCode.DELETE_BUDGET_EXCEEDED,
        FindingCode.DISK_TOO_SMALL,
    }
)
"""Error findings with these codes end a command with exit code 6 instead of 1."""


def finding_code(code: str, default: FindingCode) -> FindingCode:
    """Return the member that a code in any case means, or the default."""
    return FindingCode.__members__.get(code.upper(), default)


class Place(Struct, frozen=True):
    """A position in a file: path relative to the project, 1-based line and column, 0 where
    unknown.
    """

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part)


class Finding(Struct, frozen=True):
    """One thing that a person should know about their input.

    `field` is a dotted path such as spec.training_plan.config.lora_r; `code` is a FindingCode or,
    for rejected rows, a reject code; `actionable_fix` is a command or an edit that works as
    printed.
    """

    code: str
    severity: Severity
    message: str
    actionable_fix: str
    field: str = ""
    address: str = ""
    place: Place = Place()
    found: str = ""
    expected: str = ""
    suggestions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON, its place flattened into file, line and column."""
        document = to_builtins(self)
        place = document.pop("place")
        return {
            **document,
            **place,
            "code": str(self.code),
            "severity": str(self.severity),
            "suggestions": list(self.suggestions),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Finding":
        """Read back what `to_json` wrote; unknown keys are ignored."""
        return cls(
            code=document["code"],
            severity=Severity(document["severity"]),
            message=document["message"],
            actionable_fix=document["actionable_fix"],
            field=document.get("field", ""),
            address=document.get("address", ""),
            place=Place(
                document.get("file", ""), document.get("line", 0), document.get("column", 0)
            ),
            found=document.get("found", ""),
            expected=document.get("expected", ""),
            suggestions=tuple(document.get("suggestions", ())),
        )


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by severity, file, line, column and code: the order in which they are
    reported.
    """
    return tuple(
        sorted(
            findings,
            key=lambda item: (
                item.severity.rank,
                item.place.file,
                item.place.line,
                item.place.column,
                item.code,
                item.field,
                item.message,
            ),
        )
    )


def exit_code_of(findings: Iterable[Finding]) -> ExitCode:
    """Return 6 if an error finding is a refusal, 1 if there is any other error, else 0."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if any(finding.code in PREFLIGHT_CODES for finding in errors):
        return ExitCode.REFUSED
    return ExitCode.ERROR if errors else ExitCode.DONE
