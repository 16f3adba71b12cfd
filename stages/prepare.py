"""Stage prepare: the data that params name, as a verified manifest in `data/prepared`."""

from __future__ import annotations

from pathlib import Path

from bmix import console
from bmix.data.facts import facts, facts_table
from bmix.data.manifest import write_manifest
from bmix.data.sources import prepare
from bmix.files import replaced_folder, write_json
from bmix.params import load_params
from bmix.tracking.timings import stage_timing

PREPARED = Path("data/prepared")


def main() -> None:
    """Read params.yaml and the source; write manifest.parquet, classes.json, facts.json and a source's own images/."""
    with stage_timing("prepare"), replaced_folder(PREPARED) as folder:
        params = load_params()
        manifest = prepare(params.data, folder / "images")
        summary = facts(manifest, params.evaluate.many, params.evaluate.medium)
        write_manifest(manifest, folder)
        write_json(folder / "facts.json", summary)
        print(facts_table(summary))


if __name__ == "__main__":
    console.run(main)
