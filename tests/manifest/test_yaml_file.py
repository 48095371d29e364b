from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brewslm.manifest.load import check_manifest, load_manifest
from brewslm.manifest.yaml_file import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, read_yaml
from tests.manifest.writing import HEAD, assert_found, errors, findings_of, spec, write

CASES = [
    ("YAML_SYNTAX", HEAD + "spec: {model: [§}\n"),
    ("YAML_SYNTAX", HEAD + "spec:\n§\tmodel: {}\n"),
    ("YAML_SYNTAX", "metadata: {name: §*nobody}\n"),
    ("YAML_MULTIPLE_DOCUMENTS", HEAD + "§---\nkind: Project\n"),
    ("MANIFEST_EMPTY", "§"),
    ("MANIFEST_EMPTY", "§# only a comment\n"),
    ("MANIFEST_EMPTY", "§---\n"),
    ("MANIFEST_NOT_A_MAPPING", "§- a\n- b\n"),
    ("MANIFEST_NOT_A_MAPPING", "§just words\n"),
    ("YAML_ENCODING", HEAD + "# a bell §\x07\n"),
    ("YAML_ENCODING", HEAD + 'spec: "§\x00"\n'),
    ("YAML_TOO_DEEP", "a: " + "[" * (MAX_DEPTH - 1) + "§[" + "]" * MAX_DEPTH + "\n"),
    ("YAML_ALIAS_LIMIT", f"a: &a 1\nb: [{'*a, ' * MAX_ALIASES}§*a]\n"),
    ("YAML_ALIAS_LIMIT", "a: &a [§*a]\n"),
    ("YAML_MERGE_KEY", HEAD + "spec:\n  model: {§<<: {base_model: builtin:nano}}\n"),
    ("YAML_TAG", "metadata: {name: §!!python/object:os.system x}\n"),
    ("YAML_TAG", "metadata: §!secret {name: x}\n"),
    ("YAML_DUPLICATE_KEY", HEAD + "§kind: Project\n"),
    ("YAML_DUPLICATE_KEY", "metadata: {name: a, §name: a}\n"),
    ("YAML_DUPLICATE_KEY", 'metadata: {labels: {"\u00e9": a, §"e\u0301": b}, name: a}\n'),
    ("YAML_KEY_NOT_STRING", "metadata: {name: a, labels: {§1: a}}\n"),
    ("YAML_KEY_NOT_STRING", "metadata: {name: a, labels: {§true: a}}\n"),
    ("YAML_KEY_NOT_STRING", "metadata: {name: a, labels: {§~: a}}\n"),
    ("YAML_KEY_NOT_STRING", "§[a, b]: c\n"),
    ("YAML_KEY_NOT_STRING", "a: &a b\n§*a : c\n"),
    ("NON_FINITE_NUMBER", spec("workflow: {budget_settings: {max_minutes: §.inf}}")),
    ("NON_FINITE_NUMBER", spec("workflow: {budget_settings: {max_minutes: §-.inf}}")),
    ("NON_FINITE_NUMBER", spec("workflow: {budget_settings: {max_minutes: §.nan}}")),
    ("NON_FINITE_NUMBER", spec("workflow: {budget_settings: {max_minutes: §1e400}}")),
    ("NUMBER_FORMAT", spec("dataset: {max_examples: §1_000}")),
    ("NUMBER_FORMAT", spec("dataset: {max_examples: §007}")),
    ("NUMBER_FORMAT", spec("dataset: {max_examples: §0x10}")),
    ("NUMBER_FORMAT", spec("dataset: {max_examples: §0b1}")),
    ("NUMBER_FORMAT", spec("dataset: {max_examples: §9007199254740992}")),
    ("NUMBER_FORMAT", spec(f"dataset: {{max_examples: §{'9' * 5000}}}")),
]


@pytest.mark.parametrize(("code", "text"), CASES)
def test_broken_rules_have_a_place(code: str, text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, code, "error", text)


def test_bytes_that_are_not_utf_8_are_named_with_their_place(tmp_path: Path) -> None:
    (finding,) = findings_of(tmp_path, HEAD.encode() + b"# caf\xe9\n")
    assert (finding.code, finding.found) == ("YAML_ENCODING", "byte 0xE9")
    assert (finding.place.line, finding.place.column) == (4, 6)


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    text = HEAD + "# " + "x" * MAX_BYTES
    finding = findings_of(tmp_path, text)[0]
    assert (finding.code, str(finding.place)) == ("YAML_TOO_LARGE", "brewslm.yaml:1:1")


def test_a_file_at_the_limit_is_read(tmp_path: Path) -> None:
    text = HEAD + "#"
    write(tmp_path, text + "x" * (MAX_BYTES - len(text)))
    assert load_manifest(tmp_path).name == "small"


def test_a_byte_order_mark_and_windows_lines_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    assert load_manifest(tmp_path).name == "small"


@pytest.mark.case("YAM-01")
def test_aliases_that_multiply_are_stopped_before_they_are_built(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (finding,) = findings_of(tmp_path, "\n".join(lines))
    assert finding.code == "YAML_ALIAS_LIMIT"
    assert "50,000" in finding.message


def test_a_deep_file_ends_in_a_finding_and_not_in_a_full_stack(tmp_path: Path) -> None:
    assert errors(findings_of(tmp_path, "a: " + "[" * 200_000)) == ["YAML_TOO_DEEP"]
    assert errors(findings_of(tmp_path, "a: " + "{a: " * 100_000)) == ["YAML_TOO_DEEP"]


def test_a_repeated_key_names_both_lines(tmp_path: Path) -> None:
    (finding,) = findings_of(tmp_path, "metadata: {name: a}\nspec: {}\nmetadata: {name: b}\n")
    assert finding.found == "lines 1 and 3"


def test_an_alias_of_a_whole_value_is_read(tmp_path: Path) -> None:
    text = spec("""
        model: {base_model: builtin:nano}
        data_sources:
          - {name: a, type: raw, locator: "jsonl:a.jsonl", metadata: &notes {by: desk}}
          - {name: b, type: raw, locator: "jsonl:b.jsonl", metadata: *notes}
        """)
    write(tmp_path, text)
    effective = load_manifest(tmp_path).effective
    assert effective["data_source.a"]["metadata"] == effective["data_source.b"]["metadata"]


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "NO", "True", "FALSE"])
def test_words_for_yes_and_no_are_texts(word: str, tmp_path: Path) -> None:
    write(tmp_path, f"metadata: {{name: {word}}}\n")
    assert load_manifest(tmp_path).name == word


def test_country_codes_and_switches_need_no_quotes(tmp_path: Path) -> None:
    text = spec("""
        model: {base_model: builtin:nano}
        data_sources: [{name: no, type: raw, locator: "jsonl:no.jsonl"}]
        dataset: {cleaning: {dedupe: off}, contract: {allowed_labels: [no, yes, NO, on]}}
        training_plan: {config: {eval_strategy: no, early_stopping_patience: 0}}
        """)
    write(tmp_path, text)
    effective = load_manifest(tmp_path).effective
    assert effective["dataset"]["cleaning"]["dedupe"] == "off"
    assert effective["dataset"]["contract"]["allowed_labels"] == ["no", "yes", "NO", "on"]
    assert effective["training_plan"]["config"]["eval_strategy"] == "no"


@pytest.mark.parametrize(
    ("text", "value"),
    [("5e-4", 5e-4), ("1.5E-3", 1.5e-3), (".001", 0.001), ("1", 1.0), ("+2e-4", 2e-4)],
)
def test_numbers_of_the_core_schema(text: str, value: float, tmp_path: Path) -> None:
    write(
        tmp_path,
        spec(f"""
        model: {{base_model: builtin:nano}}
        data_sources: [{{name: a, type: raw, locator: "jsonl:a.jsonl"}}]
        training_plan: {{config: {{learning_rate: {text}}}}}
        """),
    )
    manifest, _ = check_manifest(tmp_path)
    read = read_yaml(f"x: {text}".encode(), "f").value["x"]
    assert read == value
    if manifest is not None:
        assert manifest.effective["training_plan"]["config"]["learning_rate"] == value


@pytest.mark.case("YAM-14")
def test_key_order_comments_and_quotes_have_no_meaning(tmp_path: Path) -> None:
    write(tmp_path, "kind: Project\nmetadata:\n  name: small # a name\n  description: 'x'\n")
    first = load_manifest(tmp_path).digest
    write(tmp_path, '"metadata": {description: "x", name: "small"}\n\n\nkind: "Project"\n')
    assert load_manifest(tmp_path).digest == first


@pytest.mark.case("YAM-17")
@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150
)
@given(
    data=st.binary(max_size=120) | st.text(alphabet="abc:{}[]-&*!<>|'\"\n\t #?%@,~", max_size=80)
)
def test_any_bytes_end_in_a_manifest_or_in_findings(data: bytes | str, tmp_path: Path) -> None:
    write(tmp_path, data)
    manifest, findings = check_manifest(tmp_path)
    assert (manifest is None) is bool(errors(findings))
