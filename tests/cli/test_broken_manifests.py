"""Manifests that cannot be meant: each is refused with its codes and places, by every command that
reads it, and nothing is made.
"""

import json
from pathlib import Path

import pytest

from brewslm.manifest.yaml_file import MAX_NODES, read_yaml
from tests.cli.conftest import Run

HEAD = "api_version: brewslm/v1\nkind: Project\nmetadata: {name: small}\n"
BASE = 'model: {base_model: builtin:nano}, data_sources: [{name: a, type: raw, locator: "jsonl:a"}]'


def spec(text: str) -> str:
    """Return a manifest with these sections in flow style."""
    return f"{HEAD}spec: {{{text}}}\n"


def config(text: str) -> str:
    """Return a manifest with these values in the recipe."""
    return spec(f"{BASE}, training_plan: {{config: {{{text}}}}}")


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(lines) + "\n"


CASES: list[tuple[str, str | bytes, set[str]]] = [
    ("YAM-01", bomb(), {"YAML_ALIAS_LIMIT"}),
    ("YAM-01", f"a: &a 1\nb: [{'*a, ' * 101}]\n", {"YAML_ALIAS_LIMIT"}),
    ("YAM-02", f"a: {'[' * 5000}{']' * 5000}\n", {"YAML_TOO_DEEP"}),
    ("YAM-02", "".join(f"{' ' * n}a:\n" for n in range(1400)), {"YAML_TOO_DEEP"}),
    ("YAM-02", f"a:\n{'- ' * 5000}x\n", {"YAML_TOO_DEEP"}),
    ("YAM-03", "a: &a [*a]\n", {"YAML_ALIAS_LIMIT"}),
    ("YAM-03", "x: &a {b: &b [*a]}\n", {"YAML_ALIAS_LIMIT"}),
    ("YAM-04", f"{HEAD}kind: Project\n", {"YAML_DUPLICATE_KEY"}),
    ("YAM-04", f'{HEAD}"kind": Project\n', {"YAML_DUPLICATE_KEY"}),
    ("YAM-04", "metadata: {name: a, labels: {é: a, e\u0301: b}}\n", {"YAML_DUPLICATE_KEY"}),
    ("YAM-05", config("batch_size: 1_000"), {"NUMBER_FORMAT"}),
    ("YAM-05", config("batch_size: 010"), {"NUMBER_FORMAT"}),
    ("YAM-05", config("learning_rate: 1:30"), {"WRONG_TYPE"}),
    ("YAM-05", config("bf16: no"), {"WRONG_TYPE"}),
    ("YAM-05", config("bf16: on"), {"WRONG_TYPE"}),
    ("YAM-05", "metadata: {name: a, description: 2024-01-01}\n", {"UNQUOTED_DATE"}),
    ("YAM-05", "metadata: {name: 1.10}\n", {"WRONG_TYPE"}),
    ("YAM-05", "metadata: {name: true}\n", {"WRONG_TYPE"}),
    ("YAM-05", "metadata: {name: a, description: ~}\n", {"NULL_NOT_ALLOWED"}),
    ("YAM-05", spec("workflow: {protect: ~}"), {"NULL_NOT_ALLOWED"}),
    ("YAM-06", f"{HEAD}---\n{HEAD}", {"YAML_MULTIPLE_DOCUMENTS"}),
    ("YAM-06", HEAD.encode("utf-16"), {"YAML_ENCODING"}),
    ("YAM-06", f"{HEAD}spec:\n\tmodel: {{}}\n", {"YAML_SYNTAX"}),
    ("YAM-06", f"{HEAD}# \x00\n", {"YAML_ENCODING"}),
    ("YAM-06", config(f"batch_size: {'9' * 5000}"), {"NUMBER_FORMAT"}),
    ("YAM-06", 'metadata: {name: "a\\ud800"}\n', {"YAML_ENCODING"}),
    ("YAM-07", config("learning_rte: 1.0e-4"), {"UNKNOWN_KEY"}),
    ("YAM-07", config("per_device_train_batch_size: 4"), {"FOREIGN_KEY"}),
    ("YAM-07", spec("eval_pck: {}"), {"UNKNOWN_KEY"}),
    (
        "YAM-07",
        spec(f"{BASE}, eval_pack: {{gates: [{{metric_id: f1, treshold: 1, threshold: 1}}]}}"),
        {"UNKNOWN_KEY"},
    ),
    ("YAM-09", "", {"MANIFEST_EMPTY"}),
    ("YAM-09", "# nothing\n", {"MANIFEST_EMPTY"}),
    ("YAM-09", "null\n", {"MANIFEST_EMPTY"}),
    ("YAM-09", "- a\n", {"MANIFEST_NOT_A_MAPPING"}),
    ("YAM-09", "just words\n", {"MANIFEST_NOT_A_MAPPING"}),
    ("YAM-10", config("learning_rate: .inf"), {"NON_FINITE_NUMBER"}),
    ("YAM-10", config("learning_rate: .nan"), {"NON_FINITE_NUMBER"}),
    ("YAM-10", config("learning_rate: 1e999"), {"NON_FINITE_NUMBER"}),
    ("YAM-10", config("learning_rate: -0.0"), {"OUT_OF_RANGE"}),
    ("YAM-10", config("batch_size: true"), {"WRONG_TYPE"}),
    ("YAM-10", config('batch_size: "3"'), {"WRONG_TYPE"}),
    ("YAM-10", config("lora_r: 0"), {"OUT_OF_RANGE"}),
    ("YAM-10", config("warmup_ratio: 1.5"), {"OUT_OF_RANGE"}),
    ("YAM-10", config("seed: 9007199254740992"), {"NUMBER_FORMAT"}),
    ("YAM-11", spec('data_sources: [{name: "", type: raw}]'), {"MISSING_FIELD"}),
    ("YAM-11", spec(f"data_sources: [{{name: {'n' * 256}, type: raw}}]"), {"OUT_OF_RANGE"}),
    (
        "YAM-11",
        spec('data_sources: [{name: "a\\nb", type: raw, file_path: a.jsonl}]'),
        {"NAME_CHARACTERS"},
    ),
    ("YAM-11", spec('adapters: [{name: "a\\u202eb"}]'), {"NAME_CHARACTERS"}),
    (
        "YAM-11",
        spec(
            f'{BASE}, eval_pack: {{gates: [{{gate_id: "a\\u200b", metric_id: f1, threshold: 1}}]}}'
        ),
        {"NAME_CHARACTERS"},
    ),
    (
        "YAM-12",
        spec(
            "data_sources: [{name: a, type: raw, file_path: a.csv, adapter: lables}], "
            "adapters: [{name: labels}]"
        ),
        {"UNKNOWN_ADAPTER"},
    ),
    (
        "YAM-12",
        spec(
            "data_sources: [{name: a, type: raw, file_path: a.csv}], "
            "adapters: [{name: x}, {name: y}]"
        ),
        {"ADAPTER_BINDING_AMBIGUOUS"},
    ),
    ("YAM-12", spec(f"{BASE}, eval_pack: {{datasets: [gold_tset]}}"), {"UNKNOWN_EVAL_DATASET"}),
    ("YAM-13", "api_version: brewslm/v2\nmetadata: {name: a}\n", {"UNSUPPORTED_API_VERSION"}),
    ("YAM-13", "kind: Dataset\nmetadata: {name: a}\n", {"UNSUPPORTED_KIND"}),
    ("YAM-17", f"{HEAD}spec: {{model: {{base_mod", {"YAML_SYNTAX"}),
    ("YAM-17", f"{HEAD}# é".encode()[:-1], {"YAML_ENCODING"}),
    ("YAM-17", f'{HEAD}spec: {{model: {{base_model: "buil', {"YAML_SYNTAX"}),
    ("UNT-01", spec("adapters: [{name: a, base_adapter_id: tools.map:run}]"), {"UNKNOWN_MAPPER"}),
    (
        "UNT-01",
        spec("data_sources: [{name: a, type: raw, locator: tools.map:run}]"),
        {"LOCATOR_FORM"},
    ),
    ("UNT-01", spec("data_sources: [{name: a, type: raw, locator: ./map.py}]"), {"LOCATOR_FORM"}),
    ("UNT-03", spec("model: {base_model: builtin:nano, trust_remote_code: true}"), {"FOREIGN_KEY"}),
    ("UNT-03", config("trust_remote_code: true"), {"FOREIGN_KEY"}),
    (
        "UNT-04",
        spec('data_sources: [{name: a, type: raw, locator: "http://169.254.169.254/x.csv"}]'),
        {"LOCATOR_FORM"},
    ),
    *(
        ("PTH-01", spec(f'data_sources: [{{name: a, type: raw, locator: "{place}"}}]'), {code})
        for place, code in (
            ("jsonl:/etc/passwd", "PATH_OUTSIDE_PROJECT"),
            ("jsonl:../../x", "PATH_OUTSIDE_PROJECT"),
            ("file:///etc/passwd", "PATH_OUTSIDE_PROJECT"),
            ("jsonl:data/../../x", "PATH_OUTSIDE_PROJECT"),
            ("jsonl:~/.ssh/id", "PATH_OUTSIDE_PROJECT"),
        )
    ),
]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        pytest.param(text, codes, marks=pytest.mark.case(number), id=f"{number}-{index}")
        for index, (number, text, codes) in enumerate(CASES)
    ],
)
def test_each_is_refused_by_its_code_with_a_place(
    text: str | bytes, codes: set[str], empty: Path, run: Run
) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (empty / "brewslm.yaml").write_bytes(data)
    validated = run("validate", "--json")
    assert validated.code == 1
    found = [item for item in validated.document["findings"] if item["severity"] == "error"]
    assert {item["code"] for item in found} == codes
    for item in found:
        assert (item["file"], item["actionable_fix"] != "") == ("brewslm.yaml", True)
        assert item["line"] >= 1
    for words in (("validate",), ("plan",), ("apply", "--auto-approve")):
        answer = run(*words)
        assert answer.code == 1
        assert "Traceback" not in answer.err
        assert "internal error" not in answer.err
        assert all(code in answer.out + answer.err for code in codes)
    assert sorted(path.name for path in empty.iterdir()) == ["brewslm.yaml"]


@pytest.mark.case("YAM-05")
def test_words_that_are_text_in_yaml_are_text(empty: Path, run: Run) -> None:
    text = config("learning_rate: 5e-4, eval_strategy: no, early_stopping_patience: 0")
    labels = "metadata: {name: small, labels: {no: no, on: on}}"
    (empty / "brewslm.yaml").write_text(text.replace("metadata: {name: small}", labels))
    assert run("validate").code == 0


@pytest.mark.case("YAM-06", "YAM-13")
def test_a_byte_order_mark_and_a_bare_envelope_are_taken(empty: Path, run: Run) -> None:
    (empty / "brewslm.yaml").write_bytes(b"\xef\xbb\xbfmetadata: {name: small}\n")
    assert run("validate").code == 0


@pytest.mark.case("YAM-08")
def test_a_huge_file_is_refused_by_its_size(empty: Path, run: Run) -> None:
    with (empty / "brewslm.yaml").open("wb") as stream:
        stream.write(HEAD.encode())
        stream.truncate(50 << 20)
    assert "YAML_TOO_LARGE" in run("validate").out


@pytest.mark.case("YAM-08")
def test_many_sources_are_refused_by_their_nodes() -> None:
    sources = "\n".join(
        f"    - {{name: n{n}, type: raw, locator: 'jsonl:{n}'}}" for n in range(10_000)
    )
    data = f"{HEAD}spec:\n  data_sources:\n{sources}\n".encode()
    assert len(data) < 1 << 20
    source = read_yaml(data, "brewslm.yaml")
    assert [item.code for item in source.findings] == ["YAML_ALIAS_LIMIT"]
    assert MAX_NODES < 10_000 * 7


@pytest.mark.case("YAM-07", "YAM-12")
@pytest.mark.parametrize(
    ("text", "word"),
    [
        (config("learning_rte: 1.0e-4"), "learning_rate"),
        (config("per_device_train_batch_size: 4"), "batch_size"),
        (spec("eval_pck: {}"), "eval_pack"),
        (
            spec(
                "data_sources: [{name: a, type: raw, file_path: a.csv, adapter: lables}], "
                "adapters: [{name: labels}]"
            ),
            "labels",
        ),
        (spec(f"{BASE}, eval_pack: {{datasets: [gold_tset]}}"), "gold_test"),
    ],
)
def test_the_right_word_is_proposed(text: str, word: str, empty: Path, run: Run) -> None:
    (empty / "brewslm.yaml").write_text(text)
    (finding,) = (
        item
        for item in run("validate", "--json").document["findings"]
        if item["severity"] == "error"
    )
    assert word in finding["actionable_fix"]


@pytest.mark.case("YAM-04")
def test_both_lines_of_a_repeated_key_are_named(empty: Path, run: Run) -> None:
    (empty / "brewslm.yaml").write_text(f"{HEAD}kind: Project\n")
    assert "lines 2 and 4" in run("validate").out


@pytest.mark.case("YAM-15")
def test_five_errors_come_in_one_run_in_one_order(empty: Path, run: Run) -> None:
    text = config("lora_r: 0, learning_rte: 1, batch_size: '3'").replace(
        "metadata: {name: small}", "metadata: {name: small, descripton: x}\nextra: 1"
    )
    (empty / "brewslm.yaml").write_text(text)
    first, second = run("validate", "--json").document, run("validate", "--json").document
    assert first == second
    found = [item for item in first["findings"] if item["severity"] == "error"]
    assert len(found) == 5
    places = [(item["line"], item["column"]) for item in found]
    assert places == sorted(places)


@pytest.mark.case("UNT-03")
def test_a_word_in_an_open_map_is_recorded_and_idle(empty: Path, run: Run) -> None:
    text = spec(f"{BASE}, export: {{extra: {{trust_remote_code: true}}}}")
    (empty / "brewslm.yaml").write_text(text)
    findings = json.loads(run("validate", "--json").out)["findings"]
    assert "OPEN_KEY_UNREAD" in {item["code"] for item in findings}
    assert run("validate").code == 0
