"""Addresses and messages without their secrets."""

from __future__ import annotations

import pytest

from bmix.tracking.masking import masked, masked_address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://ann:hunter2@example.org/mlflow", "http://***@example.org/mlflow"),
        ("http://ann:hun@ter2@example.org", "http://***@example.org"),
        ("http://ann:hun:ter2@example.org", "http://***@example.org"),
        ("http://ann:hun/ter2@example.org", "http://***"),
        ("http://ann:hun?ter2@example.org", "http://***"),
        ("http://ann:hun#ter2@example.org", "http://***"),
        ("http://hunter2@example.org:5000/", "http://***@example.org:5000/"),
        ("http://:hunter2@example.org", "http://***@example.org"),
        ("https://example.org?token=hunter2", "https://example.org?token=***"),
        ("https://example.org/?a=1&token=hunter2&hunter2", "https://example.org/?a=***&token=***&***"),
        ("https://example.org/#hunter2", "https://example.org/#***"),
        ("https://example.org/?mail=ann@hunter2", "https://***"),
        ("postgresql+psycopg2://ann:hunter2@db/runs", "postgresql+psycopg2://***@db/runs"),
        ("postgresql://db/runs?user=ann&password=hunter2", "postgresql://db/runs?user=***&password=***"),
        ("ann:hunter2@example.org:5000", "***@example.org:5000"),
        ("example.org:5000?token=hunter2", "example.org:5000?token=***"),
        ("sqlite:////home/ann@work/a#b/mlflow.db", "sqlite:////home/ann@work/a#b/mlflow.db"),
        ("records/a#b", "records/a#b"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_addresses(address: str, shown: str) -> None:
    assert masked_address(address) == shown
    assert "hunter2" not in masked_address(address)


ADDRESSES = [
    "http://ann:{secret}@example.org",
    "http://{secret}@example.org/mlflow",
    "http://example.org/?token={secret}",
    "http://example.org/#{secret}",
    "postgresql://ann:{secret}@db/runs",
    "postgresql://db/runs?password={secret}",
    "ann:{secret}@example.org",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("secret", ["hunter2", "h@nter2", "hun:ter2", "hun%2Fter2", "hunter2hunter2", "päss wörd"])
def test_messages_of_libraries(address: str, secret: str) -> None:
    told = address.format(secret=secret)
    messages = [
        f"Failed to parse: {told}",
        f"HTTPConnectionPool: Max retries exceeded with url: {told}/api/2.0/mlflow/runs/search",
        f"could not translate host name, password={secret!r}",
        f"Invalid URL {secret!r}: No host supplied",
        f"login of ann with {secret} failed",
    ]
    for message in messages:
        assert secret not in masked(message, told), message


@pytest.mark.parametrize("secret", ["hunt/erer2", "hunt?erer2", "hunt#erer2", "hunt/erer2@erer"])
def test_the_pieces_into_which_a_library_takes_an_unquoted_password(secret: str) -> None:
    address = f"http://ann:{secret}@example.org"
    for piece in ("hunt", "erer2", secret):
        assert piece not in masked(f"Port could not be cast to integer value as '{piece}' in {address}", address)


def test_credentials_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "to-ken")
    monkeypatch.setenv("https_proxy", "http://ann:pro%40xy@proxy:3128")
    told = masked("hunter2 and to-ken by http://ann:pro%40xy@proxy:3128, pro@xy", "http://example.org")
    assert told == "*** and *** by http://***@proxy:3128, ***"


def test_a_message_without_secrets_stays_as_it_is() -> None:
    message = "[Errno 111] Connection refused by http://127.0.0.1:9, see /home/ann@work/x"
    assert masked(message, "http://127.0.0.1:9") == message
