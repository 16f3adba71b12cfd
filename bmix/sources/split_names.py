"""Which split people mean by the name of a folder, a list or a file: train, Training, TRAIN_SET, valid, val2017."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bmix.data.manifest import SPLIT_PATTERN
from bmix.support.errors import InputError, quoted

_WORDS = {
    "train": ["train", "training", "trn"],
    "val": ["val", "valid", "validate", "validation", "dev", "devel", "development", "eval", "evaluate", "evaluation"],
    "test": ["test", "testing", "tst", "holdout", "heldout"],
    "unlabelled": ["unlabelled", "unlabeled"],
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
# Longer ones first: dataset is taken off before set.
_BESIDE = r"(?:annotations?|instances|dataset|images?|samples?|subset|labels?|files?|split|coco|data|imgs?|part|set)"
_WITHOUT = re.compile(rf"^{_BESIDE}|{_BESIDE}$")


def split_named(name: str) -> str | None:
    """The split that a name says, None if it says none.

    Case, digits, what separates words, and words such as set, data or images count for nothing. The manifest's own
    names, test-NAME among them, are taken as they are.

    >>> [split_named(name) for name in ("Validation", "train2017", "TEST_SET", "hold-out", "cat", "test-night")]
    ['val', 'train', 'test', 'test', None, 'test-night']
    """
    if SPLIT_PATTERN.fullmatch(name):
        return name
    word = "".join(re.findall(r"[^\W\d_]+", name.lower()))
    while word not in _SPLIT_OF:
        shorter = _WITHOUT.sub("", word)
        if shorter == word:
            return None
        word = shorter
    return _SPLIT_OF[word]


def splits_by_name(names: Iterable[str], where: str, what: str) -> dict[str, str]:
    """Name -> split of the names that say one, in the order train, val, tests, unlabelled.

    what: what the names are of, for the message. Raises InputError if two of them say the same split.
    """
    split_of = {name: split for name in names if (split := split_named(name)) is not None}
    for split in split_of.values():
        same = [name for name, other in split_of.items() if other == split]
        if len(same) > 1:
            raise InputError(
                where,
                f"the {what} {quoted(same)} all say {split}",
                f"one of the {what} for each split, or a choice in data.splits",
                f"say which to take, e.g. data.splits: {split}={same[0]}, or {split}={'+'.join(same)} for all of them",
            )
    order = list(_WORDS)
    return dict(sorted(split_of.items(), key=lambda item: (order.index(item[1].split("-")[0]), item[1])))
