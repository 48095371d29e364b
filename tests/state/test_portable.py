"""The state as one document: whole, bound by its digest, and the same after reading it back."""

import json
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.errors import StateError
from brewslm.fingerprint import digest_value
from brewslm.state.empty import EmptyState
from brewslm.state.portable import open_pulled, pull, pulled_bytes
from brewslm.state.stores.memory import MemoryStore
from tests.state.states import (
    DIGEST,
    LINEAGE,
    NOW,
    deployment,
    ended,
    lease,
    operation,
    resource,
    revision,
)


def filled(**changes: Any) -> MemoryStore:
    store = MemoryStore()
    store.create(LINEAGE)
    with closing(store.acquire(lease(), NOW)) as session:
        for number, alias in enumerate(["production", "trial"]):
            begun = operation(f"op-{number}")
            session.begin(begun)
            record = resource(f"export.{alias}", kind="export", **changes)
            session.end(ended(begun), records=[record], deployment=deployment(alias))
            session.add_revision(revision())
    return store


def resealed(document: dict[str, Any]) -> bytes:
    body = {name: value for name, value in document.items() if name != "digest"}
    return json.dumps({**body, "digest": digest_value(body)}).encode()


def test_document_has_its_parts_in_order() -> None:
    document = pull(filled().read())
    assert list(document) == [
        "format_version",
        "lineage",
        "serial",
        "fence",
        "schema_version",
        "resources",
        "revisions",
        "deployments",
        "digest",
    ]
    assert (document["lineage"], document["serial"], document["fence"]) == (LINEAGE, 2, 1)
    assert [item["serial"] for item in document["resources"]] == [1, 2]
    assert [item["revision"] for item in document["revisions"]] == [1, 2]
    assert [item["alias"] for item in document["deployments"]] == ["production", "trial"]


def test_reading_back_is_the_identity() -> None:
    store = filled()
    again = open_pulled(pulled_bytes(store.read()))
    assert pulled_bytes(again) == pulled_bytes(store.read())
    assert again.resources() == store.read().resources()
    assert again.revisions() == store.read().revisions()
    assert again.deployments("trial") == store.read().deployments("trial")
    assert again.lease() is None
    assert again.operations() == []


def test_a_project_that_was_never_applied_can_be_pulled() -> None:
    again = open_pulled(pulled_bytes(EmptyState()))
    assert again.meta() == EmptyState().meta()
    assert again.resources() == {}


def test_an_open_lease_does_not_travel() -> None:
    store = filled()
    document = pull(store.read())
    with closing(store.acquire(lease(), NOW)) as session:
        session.begin(operation("op-9"))
        held = pull(store.read())
    assert {name for name in document if document[name] != held[name]} == {"fence", "digest"}


@given(st.data())
def test_any_changed_value_is_found(data: st.DataObject) -> None:
    document = pull(filled().read())
    name = data.draw(st.sampled_from(sorted(document)))
    if isinstance(document[name], list):
        document[name] = document[name][:-1]
    else:
        document[name] = data.draw(st.none() | st.integers(-3, 9) | st.just("0"))
    if (
        digest_value({key: item for key, item in document.items() if key != "digest"})
        == (document["digest"])
    ):
        return
    with pytest.raises(StateError) as caught:
        open_pulled(json.dumps(document).encode())
    assert caught.value.code in {"state_corrupt", "state_too_new"}
    assert caught.value.remedy


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"a": 1, "a": 2}', b"\xff", b'{"format_version": "1.0"}']
)
def test_other_documents_are_refused(data: bytes) -> None:
    with pytest.raises(StateError) as caught:
        open_pulled(data)
    assert caught.value.code == "state_corrupt"


@pytest.mark.parametrize(("name", "value"), [("format_version", "2.0"), ("schema_version", 99)])
def test_documents_of_newer_programs_are_refused(name: str, value: object) -> None:
    with pytest.raises(StateError) as caught:
        open_pulled(resealed({**pull(filled().read()), name: value}))
    assert caught.value.code == "state_too_new"
    assert str(value) in caught.value.found


def test_records_of_another_shape_are_refused_though_the_digest_fits() -> None:
    document = pull(filled().read())
    document["resources"][0]["outputs"] = [DIGEST]
    with pytest.raises(StateError) as caught:
        open_pulled(resealed(document))
    assert caught.value.code == "state_corrupt"


def test_fields_of_newer_minor_versions_are_ignored() -> None:
    document = pull(filled().read())
    document["resources"][0]["shade"] = "dark"
    document["format_version"] = "1.7"
    document["palette"] = []
    assert set(open_pulled(resealed(document)).resources()) == {
        "export.production",
        "export.trial",
    }
