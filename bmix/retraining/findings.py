"""What a gate looked at: each thing with its value before and now, its limit, and whether it passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bmix.pipeline.table import aligned


@dataclass(frozen=True)
class Finding:
    """One thing that a gate looked at, in words. warns: somebody should look, whether it passes or not."""

    what: str
    before: str
    now: str
    limit: str
    passes: bool
    warns: bool = False

    def row(self) -> dict[str, str]:
        """The finding as a row of a table."""
        return {
            "what": self.what,
            "before": self.before,
            "now": self.now,
            "limit": self.limit,
            "": "refused" if not self.passes else "warning" if self.warns else "",
        }


def refused(findings: Sequence[Finding]) -> list[Finding]:
    """Those that do not pass."""
    return [finding for finding in findings if not finding.passes]


def reason(findings: Sequence[Finding]) -> str:
    """What did not pass, in a line; empty if all did."""
    return "; ".join(f"{one.what}: {one.now}, before {one.before}, limit {one.limit}" for one in refused(findings))


def render(findings: Sequence[Finding]) -> str:
    """The findings as a table for people, those that do not pass first, then those that warn."""
    ordered = sorted(findings, key=lambda finding: (finding.passes, not finding.warns))
    head = ["what", "before", "now", "limit", ""]
    return aligned([head, *(list(one.row().values()) for one in ordered)], lambda column: column in (1, 2))


def in_percent(share: float, signed: bool = False) -> str:
    """A share as people read it, e.g. `12.5 %`."""
    return f"{100 * share:+.1f} %" if signed else f"{100 * share:.1f} %"
