"""States that were filled by a program of this version, in every kind of store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brewslm.objects import ObjectFolder
from tests.state.newer import Place, database_dump, file_dump, fill


@pytest.fixture
def older_file(tmp_path: Path) -> Place:
    """Return a filled state in a file."""
    path = tmp_path / ".brewslm" / "state.db"
    place = Place(str(path), lambda: file_dump(path))
    fill(place.store())
    return place


@pytest.fixture
def older_objects(bucket_url: str) -> Place:
    """Return a filled state in an object store."""
    folder = ObjectFolder(bucket_url)
    place = Place(bucket_url, lambda: {key: found_bytes(folder, key) for key in folder.keys("")})
    fill(place.store())
    return place


@pytest.fixture
def older_database(postgresql_url: str) -> Iterator[Place]:
    """Lend a filled state in PostgreSQL."""
    psycopg = pytest.importorskip("psycopg", reason="no driver of PostgreSQL is installed here")
    base = postgresql_url.partition("&schema=")[0]
    with psycopg.connect(base, autocommit=True) as connection:
        place = Place(postgresql_url, lambda: database_dump(connection))
        fill(place.store())
        yield place


@pytest.fixture(
    params=[
        "older_file",
        pytest.param("older_objects", marks=pytest.mark.slow),
        pytest.param("older_database", marks=pytest.mark.postgres),
    ]
)
def older(request: pytest.FixtureRequest) -> Place:
    """Return a filled state in one of the stores."""
    place: Place = request.getfixturevalue(request.param)
    return place


def found_bytes(folder: ObjectFolder, key: str) -> Any:
    """Return the bytes of an object."""
    found = folder.find(key)
    return found and found.data
