"""Keys that MLflow takes, made from names that it would refuse, cut or take for another."""

from __future__ import annotations

import hashlib
import re

# MLflow allows letters and digits of every script, and `_`, `-`, `.`, blanks, `:` and `/`; a slash parts a key.
_REFUSED = re.compile(r"[^\w .:-]")
_MARK = re.compile(r"\.[0-9a-f]{10}\Z")
_LONGEST_PART, _LONGEST_KEY = 200, 250


def metric_key(*parts: str) -> str:
    """A metric's key from its parts, each by `key_part`, with slashes between; 250 characters at most."""
    key = "/".join(key_part(part) for part in parts)
    return key if len(key) <= _LONGEST_KEY else _marked(key, key, _LONGEST_KEY)


def key_part(name: str) -> str:
    """One part of a key: the name as it is where MLflow can hold it, else marked, so that no two names share a key.

    The characters that MLflow refuses, and slashes, become `_`, a long name is cut, and `.` with ten hex digits of the
    name's digest follows: `a/b` is `a_b.9a159f8121`. Marked too: a name that starts or ends with a blank, that would be
    read as a folder (`.`, `..`), that is empty, and one that looks like a marked name.
    """
    plain = _REFUSED.sub("_", name)
    if plain == name.strip() == name and name not in ("", ".", "..") and len(name) <= _LONGEST_PART:
        return name if not _MARK.search(name) else _marked(plain, name, _LONGEST_PART)
    return _marked(plain.strip().strip(".") or "_", name, _LONGEST_PART)


def _marked(readable: str, name: str, longest: int) -> str:
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=5).hexdigest()
    return f"{readable[: longest - len(digest) - 1].rstrip()}.{digest}"
