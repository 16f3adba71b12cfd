from __future__ import annotations

import pytest

from bmix.support.secrets import without_secrets

SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "planted-1",
    "AWS_SECRET_ACCESS_KEY": "planted/2+x=",
    "PREFECT_API_AUTH_STRING": "admin:planted-3",
    "NIGHTS_WEBHOOK_URL": "https://hooks.example.org/T0/planted-4",
    "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://bmix:planted%405@127.0.0.1/prefect",
}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("login planted-1 refused", "login *** refused"),
        ("key planted/2+x=, ", "key ***, "),
        ("as admin:planted-3, by planted-3", "as ***, by ***"),
        ("POST https://hooks.example.org/T0/planted-4 failed", "POST *** failed"),
        ("password planted@5 and planted%405", "password *** and ***"),
        ("http://me:other@127.0.0.1:9/x", "http://me:***@127.0.0.1:9/x"),
        ("http://me@127.0.0.1:9, mail a@b.org, 12:30", "http://me@127.0.0.1:9, mail a@b.org, 12:30"),
    ],
)
def test_secrets_of_the_environment_are_hidden(said: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert without_secrets(said) == shown


def test_what_only_sounds_like_a_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {
        "TOKENIZERS_PARALLELISM": "falsehood",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "SSL_KEY_FILE": "keys/server.key",
        "PWD": "project",
        "MY_TOKEN": "on",
    }
    for name, value in shown.items():
        monkeypatch.setenv(name, value)
    text = " ".join(shown.values())
    assert without_secrets(text) == text
