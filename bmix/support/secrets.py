"""Text without the secrets that the environment holds: what a library says of an error may repeat them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

HIDDEN = "***"
_WORDS = {
    "AUTH", "CREDENTIALS", "KEY", "PASS", "PASSPHRASE", "PASSWD", "PASSWORD", "PAT", "PWD", "SECRET", "TOKEN",
    "WEBHOOK",
}  # fmt: skip
_NO_SECRET = {"DIR", "FILE", "ID", "PATH", "PWD", "USER", "USERNAME"}
"""Last words of names whose values are none: `AWS_ACCESS_KEY_ID`, `SSL_KEY_FILE`, the shell's `PWD`."""
_SHORTEST = 6
"""Characters below which a value is too common to be hidden wherever it stands."""
_USERINFO = re.compile(r"://([^\s/@]*):([^\s/]+)@")


def without_secrets(text: str) -> str:
    """The text with *** for every secret of the environment.

    Secrets are the values of variables whose names say so (PASSWORD, TOKEN, KEY ..., as parts between underscores) and
    the passwords in addresses, of every variable and of the text itself: `postgresql://user:***@host`.
    """
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _USERINFO.sub(rf"://\1:{HIDDEN}@", text)


def _secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        words = name.upper().split("_")
        found = [password for _, password in _USERINFO.findall(value)]
        if _WORDS & set(words) and words[-1] not in _NO_SECRET:
            # Of `user:password` the password is one by itself.
            found += [value, value.partition(":")[2]] if "://" not in value else [value]
        for secret in found:
            for spelled in (secret, unquote(secret)):
                if len(spelled.strip()) >= _SHORTEST:
                    yield spelled
