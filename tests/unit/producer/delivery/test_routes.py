"""Decisions about routes: the transports to try, at the addresses that the service names."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.delivery.routes import (
    Advice,
    Brokers,
    HttpRoute,
    Route,
    advised_routes,
    given_brokers,
    is_usable,
    parse_advice,
    routes_to_try,
)
from stepwell.settings import ProducerSettings

OLD = Brokers("h:1", "PLAINTEXT", "events")
NEW = Brokers("h:2", "PLAINTEXT", "events")
LOCAL = Brokers("127.0.0.1:9092,localhost:9093", "PLAINTEXT", "events")
SECURE = Brokers("h:1", "SASL_SSL", "events")
GATEWAY = HttpRoute("http://s:8420/api/v1/events")
BOTH = ("kafka", "http")


def settings(**given: Any) -> ProducerSettings:
    return ProducerSettings(**{"base_url": "http://s:8420"} | given)


@pytest.mark.parametrize(
    ("answered", "known", "tried"),
    [
        ([], None, []),
        ([OLD], None, [OLD]),
        ([OLD], OLD, [OLD]),
        ([NEW], OLD, [NEW, OLD]),
        ([], OLD, [OLD]),
        ([NEW, GATEWAY], OLD, [NEW, OLD, GATEWAY]),
        ([NEW, GATEWAY], GATEWAY, [GATEWAY, NEW]),
        ([NEW], GATEWAY, [GATEWAY, NEW]),
    ],
)
def test_routes_that_the_service_names_come_before_known_ones_of_their_kind(
    answered: list[Route], known: Route | None, tried: list[Route]
) -> None:
    assert routes_to_try(answered, known) == tried


@pytest.mark.parametrize(
    ("given", "brokers", "transports", "expected"),
    [
        ({}, OLD, BOTH, [OLD, GATEWAY]),
        ({}, OLD, ("http", "kafka"), [GATEWAY, OLD]),
        ({}, OLD, ("kafka",), [OLD]),
        ({}, OLD, ("http",), [GATEWAY]),
        ({}, None, BOTH, [GATEWAY]),
        ({}, None, ("kafka",), []),
        ({}, OLD, ("pigeons", "http"), [GATEWAY]),
        ({}, LOCAL, BOTH, [GATEWAY]),
        ({}, LOCAL, ("kafka",), [LOCAL]),
        ({"base_url": "http://localhost:8420"}, LOCAL, BOTH, [LOCAL, GATEWAY]),
        ({}, SECURE, BOTH, [GATEWAY]),
        ({"kafka_sasl_username": "me"}, SECURE, BOTH, [SECURE, GATEWAY]),
        ({"transport": "http"}, OLD, ("kafka",), [GATEWAY]),
        ({"transport": "kafka"}, LOCAL, ("http",), [LOCAL]),
        ({"transport": "kafka"}, None, BOTH, []),
    ],
)
def test_the_setting_decides_then_the_advice_of_the_service(
    given: dict[str, Any], brokers: Brokers | None, transports: tuple[str, ...], expected: list[Route]
) -> None:
    assert advised_routes(settings(**given), Advice(brokers, GATEWAY, transports)) == expected


def test_brokers_in_the_settings_are_used_unless_http_is_chosen() -> None:
    servers = "k:9092"
    assert given_brokers(settings(kafka_bootstrap_servers=servers)) == (servers, "PLAINTEXT", "stepwell.events")
    assert given_brokers(settings(kafka_bootstrap_servers=servers, transport="kafka")) is not None
    assert given_brokers(settings(kafka_bootstrap_servers=servers, transport="http")) is None
    assert given_brokers(settings()) is None


def test_the_destination_of_a_journal_is_the_service_with_http() -> None:
    assert settings(kafka_bootstrap_servers="k:9092").destination == "k:9092"
    assert settings(kafka_bootstrap_servers="k:9092", transport="http").destination == "http://s:8420"


def test_one_broker_of_several_may_be_elsewhere() -> None:
    assert is_usable(settings(), Brokers("127.0.0.1:1, k:2", "PLAINTEXT", "t"))
    assert not is_usable(settings(), Brokers("[::1]:1", "PLAINTEXT", "t"))


def test_the_answer_of_an_earlier_service_means_kafka() -> None:
    body = {"kafka": {"bootstrap_servers": "h:1"}, "topics": {"events": "events"}}
    assert parse_advice(body, settings()) == (OLD, GATEWAY, ("kafka",))


def test_the_answer_may_name_no_brokers_and_another_gateway() -> None:
    body = {
        "kafka": {"bootstrap_servers": "", "security_protocol": "SSL"},
        "gateway": {"url": "https://g.example/stepwell/"},
        "transports": ["http"],
        "topics": {"events": "events"},
        "limits": {"event_bytes": 1_000},
    }
    advice = parse_advice(body, settings())
    assert advice == (None, HttpRoute("https://g.example/stepwell/api/v1/events", 1_000), ("http",))


@pytest.mark.parametrize("body", [{}, {"kafka": {}}, {"kafka": {"bootstrap_servers": "h:1"}, "topics": {}}])
def test_another_answer_is_no_advice(body: dict[str, Any]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        parse_advice(body, settings())
