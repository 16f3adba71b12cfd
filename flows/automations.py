"""Prefect's automations that bmix makes: runs that fall silent have crashed, and a webhook is told of results."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.states import StateType

SECONDS_BETWEEN_HEARTBEATS = 30
SILENCE = timedelta(seconds=4 * SECONDS_BETWEEN_HEARTBEATS)
"""How long a run may be silent before it counts as crashed, as one is whose machine went away."""
HEARTBEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(SECONDS_BETWEEN_HEARTBEATS)}
"""The environment of runs that are watched so."""
_EVENT = "prefect.flow-run"


def silent_runs_crash(flow: str, ends: Iterable[str]) -> Automation:
    """Prefect's own way to find runs of a flow whose machine or process went away: no heartbeat, and no end.

    ends: the names of the states that end such a run.
    """
    beat = f"{_EVENT}.heartbeat"
    return Automation(
        name=f"{flow} runs that fall silent have crashed",
        trigger=EventTrigger(
            after={beat},
            expect={beat, *_events(ends)},
            match=_RUNS,
            match_related=_of(flow),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                name=None, state=StateType.CRASHED, message="its worker or process went away", force=True
            )
        ],
    )


def calls_webhook(name: str, flow: str, states: Iterable[str], webhook: UUID, payload: str) -> Automation:
    """A webhook that is called whenever a run of a flow comes to one of these states.

    webhook: the id of a block of Prefect's type Webhook. payload: a Jinja template, which Prefect fills in.
    """
    return Automation(
        name=name,
        trigger=EventTrigger(
            expect=_events(states),
            match=_RUNS,
            match_related=_of(flow),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[CallWebhook(block_document_id=webhook, payload=payload)],
    )


def keep_automation(client: SyncPrefectClient, automation: Automation) -> None:
    """Make the automation unless there is one of its name, which may be in the midst of watching runs."""
    if not client.read_automations_by_name(automation.name):
        automation.create()


def remove_automations(client: SyncPrefectClient, name: str) -> int:
    """Remove the automations of this name; how many there were."""
    found = client.read_automations_by_name(name)
    for one in found:
        client.delete_automation(one.id)
    return len(found)


_RUNS: dict[str, str | list[str]] = {"prefect.resource.id": f"{_EVENT}.*"}


def _events(states: Iterable[str]) -> set[str]:
    return {f"{_EVENT}.{state}" for state in states}


def _of(flow: str) -> dict[str, str | list[str]]:
    return {"prefect.resource.role": "flow", "prefect.resource.name": flow}
