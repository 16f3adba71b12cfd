"""What a run is called, and the tags that say what is behind it."""

from __future__ import annotations

import subprocess
from typing import Any

import bmix
from bmix.tracking.metric_names import key_part
from bmix.workspace.project import project_root

_MODEL = "models/final/model.safetensors"


def run_name(params: dict[str, Any], given: str = "") -> str:
    """What a set of params is called in a table of runs, e.g. `balancemix · digits · mislabel 0.4 · seed 0`.

    given: the name that a person gave the run, which comes first.
    """
    kind, seed = params["noise.kind"], params["training.seed"]
    noise = {"none": "clean", "single-positive": "single-positive"}.get(kind, f"{kind} {params['noise.rate']}")
    other_seed = kind != "none" and params["noise.seed"] != seed
    seeds = f"seed {seed}, noise seed {params['noise.seed']}" if other_seed else f"seed {seed}"
    switches = [name for name in ("minority", "clean", "relabel", "ambiguous") if not params[f"method.{name}"]]
    managed = params["training.recipe"] == "balancemix" and switches
    recipe = f"balancemix without {', '.join(switches)}" if managed else params["training.recipe"]
    return " · ".join([*([given] if given else []), recipe, params["data.source"], noise, seeds])


def membership_tags(facts: dict[str, Any]) -> dict[str, str]:
    """Per split the digest of the images that it holds: runs with equal tags were measured on equal data."""
    return {key_part(f"data.membership.{split}"): digest for split, digest in facts["membership"].items()}


def model_tags(locked: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The name that DVC's cache gives the weights of the model."""
    outputs = [output for entry in locked.values() for output in entry.get("outs", [])]
    models = [each["md5"] for each in outputs if each["path"] == _MODEL and "md5" in each]
    return {"bmix.model_md5": models[0]} if models else {}


def version_tags() -> dict[str, str]:
    """The versions behind a result: of bmix, and the git revision with a mark where files differ from it.

    params.yaml and dvc.lock are not counted as differing: the record holds their content.
    """
    tags = {"bmix.version": bmix.__version__}
    revision = _git("rev-parse", "HEAD")
    if revision is None:
        return tags
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!params.yaml", ":!dvc.lock")
    return {
        **tags,
        "bmix.git_revision": revision,
        "bmix.git_dirty": str(bool(changed)).lower(),
        "mlflow.source.git.commit": revision,
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=project_root(), capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
