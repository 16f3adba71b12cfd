"""Stage prepare: the data that params.yaml names, as a verified manifest in `data/prepared`."""

from __future__ import annotations

from pathlib import Path

from bmix.data.groups import group_cuts
from bmix.data.manifest import write_manifest
from bmix.figures.class_frequencies import class_frequencies
from bmix.params import load_params
from bmix.sources.examine import examine
from bmix.sources.facts import facts, facts_table
from bmix.sources.provenance import read_review
from bmix.support import console
from bmix.support.files import replaced_folder, write_json
from bmix.workspace.project import project_root
from bmix.workspace.timings import stage_timing

PREPARED = Path("data/prepared")


def main() -> None:
    """Read params.yaml and the source; write manifest.parquet, classes.json, facts.json, classes.png, own images/."""
    with stage_timing("prepare"), replaced_folder(PREPARED) as folder:
        params = load_params()
        memo = project_root() / ".bmix" / "image-digests.npz"
        manifest, reading = examine(params.data, folder / "images", memo)
        print(reading, flush=True)
        positives_K = manifest.labels("train").sum(axis=0, dtype=int)
        summary = facts(manifest, *group_cuts(positives_K, params.evaluate.many, params.evaluate.medium))
        # Of other data the facts stay as they are, byte for byte.
        if (review := read_review(Path(params.data.path))) is not None:
            summary["review"] = review
        write_manifest(manifest, folder)
        write_json(folder / "facts.json", summary)
        class_frequencies(summary, folder / "classes.png")
        print(f"\n{facts_table(summary)}")


if __name__ == "__main__":
    console.run(main, "stages.prepare", __doc__)
