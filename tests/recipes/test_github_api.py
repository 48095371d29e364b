"""Limits, faults and refusals of the API, spoken to a server."""

import time

import pytest

from github_api import GitHub, NotThereError
from runner import RecipeError
from tests.recipes.forge import REPOSITORY, TOKEN, Forge, Refusal


@pytest.fixture
def waits() -> list[float]:
    """Return what the client waited, in seconds."""
    return []


@pytest.fixture
def api(forge: Forge, waits: list[float]) -> GitHub:
    return client(forge, waits)


def client(forge: Forge, waits: list[float]) -> GitHub:
    environment = {
        "GITHUB_API_URL": forge.url,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GH_TOKEN": TOKEN,
    }
    return GitHub(environment, waits.append)


def test_list_goes_on_over_its_pages(forge: Forge, api: GitHub) -> None:
    for number in range(5):
        forge.comment("mira", f"remark {number}")
    assert [entry["id"] for entry in api.listed("/issues/7/comments")] == [1, 2, 3, 4, 5]
    assert len(forge.asked) == 3


def test_limits_and_faults_are_waited_out(forge: Forge, api: GitHub, waits: list[float]) -> None:
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) - 5)}
    forge.refuse("GET pulls", Refusal(429, {"Retry-After": "7"}), Refusal(403, reset), Refusal(502))
    assert list(api.listed("/pulls", head="ana:x")) == []
    assert waits == [7, 0, 1]


def test_secondary_limit_without_a_time_is_a_minute(
    forge: Forge, api: GitHub, waits: list[float]
) -> None:
    limit = Refusal(403, message="You have exceeded a secondary rate limit")
    forge.refuse("POST comments", limit)
    assert api.ask("POST", "/issues/7/comments", {"body": "x"})["id"] == 1
    assert waits == [60]


def test_limit_of_an_hour_is_told(forge: Forge, api: GitHub, waits: list[float]) -> None:
    forge.refuse("GET pulls", Refusal(403, {"Retry-After": "3600"}))
    with pytest.raises(RecipeError, match="rate limit is reached for another 3600 s"):
        list(api.listed("/pulls", head="ana:x"))
    assert waits == []


def test_fault_that_stays_ends_the_job(forge: Forge, api: GitHub, waits: list[float]) -> None:
    forge.refuse("GET pulls", *[Refusal(503, message="down")] * 9)
    with pytest.raises(RecipeError, match=r"refused with 503 \(down\)"):
        list(api.listed("/pulls", head="ana:x"))
    assert waits == [1, 1, 1]


def test_post_whose_answer_got_lost_is_not_sent_twice(forge: Forge, api: GitHub) -> None:
    forge.refuse("POST comments", Refusal(502))
    with pytest.raises(RecipeError, match="502"):
        api.ask("POST", "/issues/7/comments", {"body": "x"})
    assert len(forge.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (401, RecipeError, "passes no valid token"),
        (403, RecipeError, "the permissions that the recipe lists"),
        (404, NotThereError, "not for this token"),
        (422, RecipeError, "refused with 422"),
    ],
)
def test_refusal_is_told_and_not_tried_again(
    forge: Forge, api: GitHub, status: int, kind: type[RecipeError], told: str
) -> None:
    forge.refuse("POST comments", *[Refusal(status)] * 2)
    with pytest.raises(kind, match=told):
        api.ask("POST", "/issues/7/comments", {"body": "x"})
    assert len(forge.asked) == 1


def test_next_page_elsewhere_gets_no_token(forge: Forge, api: GitHub) -> None:
    away = {"Link": '<http://127.0.0.1:9/x>; rel="next"'}
    forge.refuse("GET pulls", Refusal(200, away, document=[{"number": 1}]))
    with pytest.raises(RecipeError, match="leads away from the API"):
        list(api.listed("/pulls", head="ana:x"))


def test_redirect_is_not_followed_with_the_token(forge: Forge, api: GitHub) -> None:
    forge.refuse("GET pulls", Refusal(302, {"Location": f"{forge.url}/elsewhere"}))
    with pytest.raises(RecipeError, match="without a list"):
        list(api.listed("/pulls", head="ana:x"))
    assert len(forge.asked) == 1


def test_pages_without_end_are_left(forge: Forge, api: GitHub) -> None:
    again = {"Link": f'<{forge.url}/repos/{REPOSITORY}/pulls?head=ana:x>; rel="next"'}
    forge.refuse("GET pulls", *[Refusal(200, again, document=[{}])] * 60)
    with pytest.raises(RecipeError, match="more than 50 pages"):
        list(api.listed("/pulls", head="ana:x"))


def test_server_that_is_gone_is_told(forge: Forge) -> None:
    forge.url = "http://127.0.0.1:9"
    with pytest.raises(RecipeError, match="no answer"):
        client(forge, []).ask("GET", "/pulls")


def test_missing_token_is_named() -> None:
    with pytest.raises(RecipeError, match="lacks GITHUB_API_URL, GH_TOKEN"):
        GitHub({"GITHUB_REPOSITORY": REPOSITORY})
