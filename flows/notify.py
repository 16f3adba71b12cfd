"""`python -m flows.notify`: have Prefect call a webhook when a night is rejected or fails.

By a block and an automation of Prefect's own, which its pages show, and can pause: nothing of this runs in a night.
"""

from __future__ import annotations

import os
from typing import Annotated, cast
from urllib.parse import urlsplit
from uuid import UUID

import typer
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict
from pydantic import SecretStr

from bmix.cli.command import run_alone
from bmix.support.errors import InputError
from flows.automations import calls_webhook, keep_automation, remove_automations
from flows.night import FLOW
from flows.server import check_server, server_errors_told

URL, TOKEN = "BMIX_NIGHTS_WEBHOOK", "BMIX_NIGHTS_WEBHOOK_TOKEN"
"""The environment, not the command line, which other people of the machine can read."""
BLOCK, NAME = "bmix-nights", "bmix-night tells a webhook"
TOLD = ("RejectedByDataGate", "RejectedByModelGate", "Failed", "Crashed")
PROMOTED = "Promoted"
_STATE = "event.payload['validated_state']"
# `text` is what the incoming webhooks of Slack and Mattermost show.
PAYLOAD = f"""{{{{ {{
  "text": "bmix night " ~ event.resource["prefect.resource.name"] ~ "\\n" ~ ({_STATE}["message"] or ""),
  "night": event.resource["prefect.resource.name"],
  "state": {_STATE}["name"],
  "message": {_STATE}["message"],
  "flow_run": event.resource.id,
  "schedule": event.resource_in_role["deployment"].name if "deployment" in event.resource_in_role else none
}} | tojson }}}}"""
"""A Jinja template that Prefect fills in; `schedule` is the deployment, which is named after the project's folder."""

Promoted = Annotated[bool, typer.Option("--promoted", help="tell of every model that was accepted too")]
Remove = Annotated[bool, typer.Option("--remove", help="tell nothing any more, and forget the address")]


def notify(promoted: bool = False) -> None:
    """Keep the address in a block of Prefect's, which encrypts it, and make the automation that calls it.

    InputError unless the environment names an address.
    """
    url = checked_address(os.environ.get(URL, "").strip())
    token = os.environ.get(TOKEN, "").strip()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    states = [*TOLD, *([PROMOTED] if promoted else [])]
    with server_errors_told():
        webhook = Webhook(method="POST", url=SecretStr(url), headers=SecretDict(headers))
        # Typed as if this were called where an event loop runs.
        block = cast(UUID, webhook.save(BLOCK, overwrite=True))
        with get_client(sync_client=True) as client:
            remove_automations(client, NAME)
            keep_automation(client, calls_webhook(NAME, FLOW, states, block, PAYLOAD))
    host = urlsplit(url).hostname
    print(f"{host} is told of nights that end as {', '.join(states)}; to end that: python -m flows.notify --remove")


def forget() -> None:
    """Remove the automation and the block."""
    with server_errors_told(), get_client(sync_client=True) as client:
        removed = remove_automations(client, NAME)
        try:
            block = client.read_block_document_by_name(BLOCK, "webhook", include_secrets=False)
            client.delete_block_document(block.id)
        except ObjectNotFound:
            pass
    print("nothing is told any more" if removed else "nothing was told")


def checked_address(url: str) -> str:
    """The address as it stands; InputError, which does not repeat it, unless it is one of http or https."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return url
        found = "is no address of http or https" if url else "is not set"
    except ValueError:
        found = "is no address"
    raise InputError(URL, found, "the address of a webhook", f"read -rs {URL} && export {URL}")


def main(promoted: Promoted = False, remove: Remove = False) -> int:
    """Have Prefect call a webhook whenever a night at its server is rejected, fails or crashes.

    The address is read from BMIX_NIGHTS_WEBHOOK, a token for the header Authorization, if one is needed, from
    BMIX_NIGHTS_WEBHOOK_TOKEN; both are kept by Prefect, encrypted. Running it again replaces what was there.

    Example: python -m flows.notify --promoted
    """
    check_server(needed=True)
    if remove:
        forget()
    else:
        notify(promoted)
    return 0


if __name__ == "__main__":
    run_alone(main, "python -m flows.notify")
