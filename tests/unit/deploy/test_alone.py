"""Unit tests reach neither a network nor a database, even by accident."""

from __future__ import annotations

import importlib
import socket

import pytest

from stepwell_schemas.clickhouse import store


def test_a_unit_test_reaches_no_network() -> None:
    with socket.socket() as client, pytest.raises(AssertionError, match="must not reach a network"):
        client.connect(("127.0.0.1", 9))


def test_a_unit_test_reaches_no_database() -> None:
    with pytest.raises(AssertionError, match="must not reach a network"):
        store.connect("chdb:///nowhere")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("chdb")
