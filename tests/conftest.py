"""Fixtures of all tests: the real broker and the real engine, started once per session, and names for each test.

Unit tests get none of them, and can't reach a network or a database, not even by accident.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import hypothesis
import pytest
import structlog
from _pytest.faulthandler import fault_handler_stderr_fd_key

# Before the first import of it: a failed assertion of a helper then shows its values, too.
pytest.register_assert_rewrite("support")

from stepwell_schemas.clickhouse.store import Store, connect
from support.draws import LONG_EXAMPLES
from support.durations import Phase, seconds_by_folder
from support.paths import TESTS
from support.servers import broker_cache
from support.servers.scratch import scratch_folder
from support.servers.shared_broker import SharedBroker
from support.servers.stack import Stack, Topics

if TYPE_CHECKING:
    from support.servers.sdk import Served

# The first example includes imports, and the machines are noisy: time is measured by benchmarks.
# `make test` uses the same examples everywhere, `make mutants` more of them; `make test-long` draws new and more ones.
hypothesis.settings.register_profile("stepwell", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("thorough", deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", deadline=None, derandomize=False, max_examples=LONG_EXAMPLES)
hypothesis.settings.load_profile("stepwell")

# rich's tracebacks with all locals, structlog's default on a terminal, take seconds each.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
)

broker_cache.use()

# Each client of httpx parses all public authorities, which takes longer than most requests do. Tests and their
# processes reach this machine alone, and name the authority where they use TLS: this folder has none.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(TESTS / "support" / "servers")

# Imports and collection make objects that stay: to look for garbage among them took a tenth of the time of unit tests.
gc.disable()
_GC_THRESHOLDS = (20_000, 20, 20)

UNIT = TESTS / "unit"
_SHARED_BROKER = pytest.StashKey[SharedBroker]()
_BROKER_FOLDER = "stepwell_broker_folder"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start a broker for all processes that run tests, and name its folder to each."""
    if _SHARED_BROKER not in node.config.stash:
        node.config.stash[_SHARED_BROKER] = SharedBroker()
    node.workerinput[_BROKER_FOLDER] = str(node.config.stash[_SHARED_BROKER].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the broker that this process has started."""
    if shared := config.stash.get(_SHARED_BROKER, None):
        shared.stop()


@pytest.fixture(autouse=True)
def _logging_configuration() -> Iterator[None]:
    """Restore the configuration of logs, which commands in this process replace."""
    configured = structlog.get_config()
    yield
    structlog.configure(**configured)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave HTTP to `make test-long` where both DSNs answer alike; see the markers `one_dsn` and `both_dsns`."""
    for item in items:
        drawn = item.callspec.params if hasattr(item, "callspec") else {}
        over_http = any(isinstance(value, str) and value == "http" for value in drawn.values())
        if over_http and item.get_closest_marker("one_dsn") and not item.get_closest_marker("both_dsns"):
            item.add_marker(pytest.mark.long)


def pytest_collection_finish() -> None:
    """From now on, look for garbage among new objects alone."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With `--durations`, print the seconds of each folder, of all processes together."""
    if terminalreporter.config.getoption("durations") is None:
        return
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    phases = [Phase(one.nodeid, one.when or "", one.duration) for one in reports if isinstance(one, pytest.TestReport)]
    terminalreporter.section("seconds by folder")
    for line in seconds_by_folder(phases):
        terminalreporter.write_line(line)


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, as the services do."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _runs_keep_their_own_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable system metrics and console output, which only their own tests enable."""
    monkeypatch.setenv("STEPWELL_SYSTEM_SECONDS", "0")
    monkeypatch.setenv("STEPWELL_CONSOLE", "off")
    monkeypatch.setenv("STEPWELL_CREDENTIALS_FILE", "/nonexistent/credentials.json")


@pytest.fixture(autouse=True)
def _units_are_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.path.is_relative_to(UNIT):
        return

    def refuse(*_: object) -> None:
        raise AssertionError("a unit test must not reach a network: move the test to tests/integration")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr("stepwell_schemas.clickhouse.store.connect", refuse)
    # An import of None fails, so the embedded engine can't start here either.
    monkeypatch.setitem(sys.modules, "chdb", None)


@pytest.fixture(autouse=True)
def _no_alarms_of_other_tests() -> None:
    """Clear the alarms that ingestors of other tests in this process have left: these last until a restart."""
    telemetry = sys.modules.get("stepwell_ingestor.telemetry")
    if telemetry is None:
        return
    for name in get_args(telemetry.GaugeName):
        if name.endswith("_alarm"):
            telemetry.gauge(name, 0)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Stack]:
    """The broker and the engine of this session, started when first needed."""
    inputs = getattr(pytestconfig, "workerinput", {})
    with scratch_folder(tmp_path_factory.mktemp("stack")) as folder:
        running = Stack(folder, Path(inputs[_BROKER_FOLDER]) if inputs else None)
        running.dsn("chdb")
        # The engine installs its own handlers, which end the process without a message.
        faulthandler.disable()
        faulthandler.enable(pytestconfig.stash[fault_handler_stderr_fd_key])
        yield running
        running.stop()


@pytest.fixture(scope="session")
def broker(stack: Stack) -> str:
    """`host:port` of a real Kafka broker."""
    return stack.bootstrap_servers()


@pytest.fixture
def topics(stack: Stack) -> Topics:
    """Topics of this test's own, created on the broker."""
    return stack.take_topics()


@pytest.fixture
def database(stack: Stack) -> Iterator[str]:
    """The name of this test's own database, migrated and empty."""
    with stack.lend_database() as name:
        yield name


@pytest.fixture
def open_database(stack: Stack) -> Iterator[Callable[[], Store]]:
    """A function that opens one more empty, migrated database of this test's own."""
    with ExitStack() as lent:
        yield lambda: stack.embedded(lent.enter_context(stack.lend_database()))


@pytest.fixture
def new_database() -> str:
    """The name of a database that does not exist yet. The test drops it."""
    return f"new_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def open_store(stack: Stack, database: str) -> Iterator[Callable[[str], Store]]:
    """A function that opens the test's database by `chdb` or `http`."""
    with ExitStack() as opened:

        def open_kind(kind: str) -> Store:
            if kind == "chdb":
                return stack.embedded(database)
            return opened.enter_context(connect(stack.dsn(kind), database))

        yield open_kind


@pytest.fixture(params=["chdb", "http"])
def store(request: pytest.FixtureRequest, open_store: Callable[[str], Store]) -> Store:
    """The test's database, over each DSN in turn."""
    return open_store(request.param)


@pytest.fixture
def chdb_store(open_store: Callable[[str], Store]) -> Store:
    """The test's database, embedded in this process."""
    return open_store("chdb")


@pytest.fixture
def sdk(broker: str, topics: Topics, chdb_store: Store, tmp_path: Path) -> Iterator[Served]:
    """A broker, an ingestor and a query service for training scripts in separate processes."""
    from support.servers.sdk import served

    with served(broker, topics, chdb_store, tmp_path) as running:
        yield running
