"""Training against a service that refuses the key: it goes through, says what to do, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepwell
from stepwell.credentials import keep_key
from stepwell.delivery.connection import Connection
from stepwell.errors import ApiError, AuthenticationError, NotConnectedError
from stepwell.settings import ProducerSettings
from support.readers.offline_runs import read_offline_runs
from support.servers.sdk import eventually

from .conftest import Secured


@pytest.fixture(scope="module")
def url(secured: Secured) -> Iterator[str]:
    """The address of the service."""
    with secured.serve() as address:
        yield address


@pytest.mark.parametrize("key", ["", "revoked"])
def test_a_training_without_a_valid_key_is_recorded(
    secured: Secured, url: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal has every row, and one line names the remedy."""
    text = secured.texts.get(key, "")
    settings = {"base_url": url, "api_key": text, "transport": "kafka", "retry_seconds": 0.1}
    run = stepwell.init(entity="alpha", project="one", id=f"offline{key}", dir=tmp_path, settings=settings)
    for step in range(5):
        run.log({"loss": float(step)})
    printed = [""]

    def has_remedy() -> bool:
        printed[0] += capsys.readouterr().err
        return "stepwell login" in printed[0]

    eventually(has_remedy, True)
    assert run.finish(timeout=0.1).logged
    (stored,) = read_offline_runs(tmp_path)
    assert stored.column("loss") == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert not text or text not in printed[0] + capsys.readouterr().err


def test_reading_without_a_key_says_what_to_do(secured: Secured, url: str) -> None:
    """`Api` raises an error that names the remedy; of a hidden project, that it does not exist."""
    with pytest.raises(AuthenticationError, match="stepwell login"):
        stepwell.Api(base_url=url).projects("alpha")
    reader = stepwell.Api(base_url=url, api_key=secured.texts["read:alpha/one"])
    assert reader.run("alpha/one/run").id == "run"
    with pytest.raises(ApiError, match="there is no"):
        reader.run("beta/one/run")


def test_a_training_whose_key_is_refused_takes_the_one_of_a_login(
    secured: Secured, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stepwell login` on the node is enough, without a restart; a key that was given is not replaced."""
    notices: list[str] = []
    monkeypatch.setattr("stepwell.delivery.connection.notify", notices.append)
    file = tmp_path / "stepwell" / "credentials.json"
    common = {"base_url": url, "credentials_file": file, "transport": "http"}
    connection = Connection(ProducerSettings(**common), "run")
    given = Connection(ProducerSettings(**common, api_key=secured.texts["revoked"]), "run")
    with pytest.raises(NotConnectedError, match="401") as refused:
        asyncio.run(connection.open())
    connection.failed(refused.value, progressed=False)
    with pytest.raises(NotConnectedError, match="401"):
        asyncio.run(connection.open())
    keep_key(url, secured.texts["write:alpha"], file)
    connection.failed(refused.value, progressed=False)
    assert len(notices) == 1
    asyncio.run(close_opened(connection))
    given.failed(refused.value, progressed=False)
    with pytest.raises(NotConnectedError, match="401"):
        asyncio.run(given.open())


async def close_opened(connection: Connection) -> None:
    """Open a connection, and close it."""
    transport = await connection.open()
    await transport.stop()
