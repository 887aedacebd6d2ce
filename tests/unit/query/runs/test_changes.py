from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stepwell_query.runs.live_updates import LiveUpdates, Position, find_changed
from stepwell_schemas.errors import StoreUnavailableError

pytestmark = pytest.mark.anyio

FIRST: Position = (5, 1, 10, "running")
LATER: Position = (9, 1, 20, "running")
PATIENCE = 5.0


class Project:
    """A project whose runs the test moves on; a question is answered when the test lets it."""

    def __init__(self) -> None:
        self.now: dict[str, Position] = {}
        self.asked = 0
        self.gone = False
        self.turn = asyncio.Event()

    async def read(self, entity: str, project: str) -> dict[str, Position]:
        assert (entity, project) == ("me", "p")
        self.asked += 1
        if self.gone:
            raise StoreUnavailableError("gone")
        return dict(self.now)

    async def wait(self) -> None:
        self.turn.clear()
        await self.turn.wait()

    def changes(self) -> LiveUpdates:
        return LiveUpdates(self.read, self.wait)


def test_runs_that_are_new_or_further_have_moved() -> None:
    assert find_changed({"a": FIRST, "b": FIRST}, {"a": FIRST, "b": LATER, "c": FIRST}) == {"b": LATER, "c": FIRST}
    assert find_changed({"a": FIRST}, {}) == {"a": None}


async def test_a_listener_hears_of_a_deleted_run() -> None:
    project = Project()
    project.now = {"a": FIRST, "b": FIRST}
    news = project.changes().listen("me", "p", PATIENCE)
    await anext(news)
    del project.now["b"]
    project.turn.set()
    assert await anext(news) == {"b": None}


async def test_a_listener_hears_all_there_is_and_then_what_moves() -> None:
    project = Project()
    project.now = {"a": FIRST, "b": FIRST}
    news = project.changes().listen("me", "p", PATIENCE)
    assert await anext(news) == {"a": FIRST, "b": FIRST}
    project.now["b"] = LATER
    project.turn.set()
    assert await anext(news) == {"b": LATER}


async def test_a_project_that_is_not_there_has_no_runs_until_it_has() -> None:
    project = Project()
    news = project.changes().listen("me", "p", PATIENCE)
    assert await anext(news) == {}
    project.now["first"] = FIRST
    project.turn.set()
    assert await anext(news) == {"first": FIRST}


async def test_listeners_share_the_questions_and_each_hears_all() -> None:
    project = Project()
    project.now = {"a": FIRST}
    changes = project.changes()
    one, other = changes.listen("me", "p", PATIENCE), changes.listen("me", "p", PATIENCE)
    assert await anext(one) == await anext(other) == {"a": FIRST}
    assert project.asked == 1
    project.now["a"] = LATER
    project.turn.set()
    assert await anext(one) == await anext(other) == {"a": LATER}
    assert project.asked == 2


async def test_without_news_a_listener_is_told_so() -> None:
    project = Project()
    news = project.changes().listen("me", "p", 0.01)
    assert await anext(news) == {}
    assert await anext(news) is None


async def test_a_store_that_is_gone_and_comes_back_loses_no_news() -> None:
    project = Project()
    project.gone = True
    news = project.changes().listen("me", "p", 0.01)
    assert await anext(news) is None
    project.gone = False
    project.now = {"a": FIRST}
    project.turn.set()
    assert {"a": FIRST} in [await anext(news), await anext(news)]


async def test_closing_ends_every_stream() -> None:
    project = Project()
    changes = project.changes()
    news = changes.listen("me", "p", PATIENCE)
    assert await anext(news) == {}
    ending = asyncio.create_task(_all(news))
    changes.close()
    assert await ending == []


async def test_the_last_listener_that_leaves_ends_the_questions() -> None:
    project = Project()
    changes = project.changes()
    news = changes.listen("me", "p", PATIENCE)
    await anext(news)
    before = asyncio.all_tasks()
    await news.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == len(before) - 1


async def _all(news: AsyncIterator[object]) -> list[object]:
    return [one async for one in news]
