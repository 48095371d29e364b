"""A shared state whose clock is not this machine's: leases go by it, and one line says how far."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from brewslm.apply.clock import SystemClock
from brewslm.contracts import Job, Result
from brewslm.state.lease import wanted_lease
from brewslm.state.records import LeaseRecord
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run
from tests.servers import ask

pytestmark = pytest.mark.case("TIM-05")

_MINUTES_10_S = 600
_NEAR_S = 15
_WARNING = r"warning: the clock of the shared state is (9 min 5\d s|10 min|10 min \d s) {} this"


@pytest.fixture
def leases(doubles: Doubles, bench: Bench) -> list[LeaseRecord]:
    """Return the leases that trainings were done under."""
    seen: list[LeaseRecord] = []

    def answer(job: Job, folder: Path) -> Result:
        if job.address == "training_plan":
            with closing(bench.store().read()) as state:
                held = state.lease()
            assert held is not None
            seen.append(held)
        return bench.answer(job, folder)

    doubles.answer = answer
    return seen


def _name_state(bench: Bench, url: str) -> None:
    bench.edit("deployment:", f"workflow: {{backend: {{state: '{url}'}}}}\n  deployment:")


def _check(run: Run, leases: list[LeaseRecord], ahead_s: int, side: str) -> None:
    """Apply and check the warning and the lease."""
    assert "warning" not in run("plan").err
    before = datetime.now(UTC) + timedelta(seconds=ahead_s)
    applied = run("apply", "--auto-approve")
    applied.says(0)
    assert re.search(_WARNING.format(side), applied.err), applied.err
    assert applied.err.count("the clock of the shared state") == 1
    (held,) = leases
    lag_s = (datetime.fromisoformat(held.acquired_at) - before).total_seconds()
    lifetime = datetime.fromisoformat(held.expires_at) - datetime.fromisoformat(held.renewed_at)
    assert abs(lag_s) < _NEAR_S
    assert abs(lifetime.total_seconds() - 60) <= 1
    run("plan", "--detailed-exitcode").says(0)


@pytest.fixture
def service(object_address: str) -> Iterator[str]:
    """Lend the door through which the service's clock is put ahead."""
    yield f"{object_address}/-/ahead?count="
    ask(f"{object_address}/-/ahead?count=0", "POST")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ahead_s", "side"),
    [(_MINUTES_10_S, "ahead of"), (-_MINUTES_10_S, "behind")],
    ids=["ahead", "behind"],
)
def test_lease_in_an_object_store_goes_by_its_clock(
    bench: Bench,
    bucket_url: str,
    service: str,
    run: Run,
    leases: list[LeaseRecord],
    ahead_s: int,
    side: str,
) -> None:
    _name_state(bench, bucket_url)
    ask(f"{service}{ahead_s}", "POST")
    _check(run, leases, ahead_s, side)


@pytest.mark.slow
def test_lease_of_another_host_ends_by_the_service_s_clock(
    bench: Bench, bucket_url: str, service: str, run: Run, leases: list[LeaseRecord]
) -> None:
    _name_state(bench, bucket_url)
    run("init").says(0)
    ask(f"{service}{-_MINUTES_10_S}", "POST")
    clock = SystemClock()
    elsewhere = wanted_lease("mira@far", "apply", clock.now(), clock.after(60), {"host": "far"})
    bench.store().acquire(replace(elsewhere, boot_id="another"), clock.now())
    run("apply", "--auto-approve").says(5, "state_locked", elsewhere.lease_id)
    ask(f"{service}{120 - _MINUTES_10_S}", "POST")
    run("apply", "--auto-approve").says(0, "behind this machine")
    assert [held.fence for held in leases] == [2]


@pytest.mark.slow
def test_clocks_that_are_about_equal_are_not_mentioned(
    bench: Bench, bucket_url: str, service: str, run: Run, leases: list[LeaseRecord]
) -> None:
    _name_state(bench, bucket_url)
    ask(f"{service}20", "POST")
    answer = run("apply", "--auto-approve")
    answer.says(0)
    assert "clock" not in answer.err
    assert len(leases) == 1


@pytest.mark.postgres
def test_lease_in_postgresql_goes_by_the_server_s_clock(
    bench: Bench,
    postgresql_url: str,
    run: Run,
    leases: list[LeaseRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server's clock is this machine's own, so this program's is put behind it."""
    _name_state(bench, postgresql_url)
    behind = SimpleNamespace(time=lambda: time.time() - _MINUTES_10_S, sleep=time.sleep)
    after = SystemClock.after
    monkeypatch.setattr("brewslm.state.stores.postgresql.time", behind)
    monkeypatch.setattr(
        SystemClock, "after", lambda clock, seconds: after(clock, seconds - _MINUTES_10_S)
    )
    _check(run, leases, 0, "ahead of")
