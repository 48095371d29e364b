"""Names that a file system or a shell would stumble over are names all the same."""

import pytest

from brewslm.address import Address
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run

_NAMES = ["a.b", "a b", "it's", 'say "x"', "a[0]", "../x", "a/b", "CON", "n" * 255, "ä€"]


@pytest.mark.case("YAM-11")
@pytest.mark.parametrize("name", _NAMES, ids=[ascii(name[:9]) for name in _NAMES])
def test_odd_name_is_an_address_and_never_a_file(
    name: str, bench: Bench, run: Run, doubles: Doubles
) -> None:
    written = name.replace("'", "''")
    bench.edit("{name: rows,", f"{{name: '{written}',")
    assert run("apply", "--auto-approve").code == 0
    assert doubles.doors
    (address,) = (item for item in bench.records() if item.startswith("data_source") and
                  item != "data_source.gold")  # fmt: skip
    assert run("show", address, "--json").document["spec"]["name"] == name
    assert address in run("state", "list").out
    assert run("plan", "--target", address, "--detailed-exitcode").code == 0
    bench.write_rows("rows", range(61))
    shown = run("plan", "--target", address, "--json").document
    assert [item["address"] for item in shown["actions"] if item["operation"] == "update"] == [
        address
    ]
    assert run("state", "mv", address, "data_source.plain", "--dry-run").code == 0
    made = [path.relative_to(bench.root) for path in bench.home.rglob("*")]
    assert [path for path in made if any(part in (name, "x", "CON") for part in path.parts)] == []
    assert not (bench.root.parent / "x").exists()
    assert all(len(part) < 100 for path in made for part in path.parts)


@pytest.mark.parametrize("name", _NAMES, ids=[ascii(name[:9]) for name in _NAMES])
def test_findings_about_a_source_carry_its_address_whatever_its_name(
    name: str, bench: Bench, run: Run
) -> None:
    written = name.replace("'", "''")
    bench.edit("{name: rows,", f"{{name: '{written}', record_count: 7,")
    with (bench.root / "data" / "rows.jsonl").open("a") as stream:
        stream.write("{}\n")
    told = run("plan", "--json")
    assert told.code == 1
    own = str(Address("data_source", name))
    found = {item["code"]: item for item in told.document["findings"] if item["address"] == own}
    assert found.keys() == {"RECORD_COUNT_MISMATCH", "missing_text"}


@pytest.mark.parametrize("folder", ["a" * 300, "./" + "a" * 300, "./" + "abcdefgh/" * 600])
def test_a_base_model_longer_than_any_folder_is_not_there(
    folder: str, bench: Bench, run: Run
) -> None:
    bench.edit("builtin:nano", folder)
    answer = run("plan")
    assert answer.code in (1, 6)
    assert "error[" in answer.out + answer.err
    assert "internal error" not in answer.err


@pytest.mark.usefixtures("empty")
def test_a_project_folder_longer_than_any_name_is_not_there(run: Run) -> None:
    run("--chdir", "a" * 300, "init").says(1, "there is no folder")
    run("--chdir", "a" * 300, "plan").says(1, "longer than the file system allows")
