"""Tasks for Label Studio: the given labels as annotations, the suggested ones as predictions to be reviewed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from bmix.labels.formats.images import LabelledImages
from bmix.support.files import write_json, write_text

CONTROL, IMAGE = "labels", "image"
LOCAL_FILES = "/data/local-files/?d="


def write_label_studio(images: LabelledImages, output: Path) -> None:
    """The tasks as JSON, and the labelling interface beside them as .xml.

    Images are named as Label Studio serves local files, relative to its LOCAL_FILES_DOCUMENT_ROOT.
    """
    images.need_files("label-studio")
    tasks = []
    for row in images.frame.to_dict("records"):
        given, labels = row["given"], row["labels"]
        task: dict[str, Any] = {
            "data": {IMAGE: LOCAL_FILES + quote(row["file"]), "id": row["id"], "split": row["split"]},
            "annotations": [{"result": _result(given)}],
        }
        if images.corrected:
            task["annotations"] = [{"result": _result(labels), "ground_truth": True}]
        elif given != labels:
            task["predictions"] = [{"model_version": "bmix", "result": _result(labels)}]
        tasks.append(task)
    write_json(output, tasks)
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in images.run.classes)
    write_text(
        output.with_suffix(".xml"),
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}"/>\n'
        f'  <Choices name="{CONTROL}" toName="{IMAGE}" choice="multiple">\n{choices}\n  </Choices>\n</View>\n',
    )


def _result(names: list[str]) -> list[dict[str, Any]]:
    value = {"choices": names}
    return [{"from_name": CONTROL, "to_name": IMAGE, "type": "choices", "value": value}] if names else []
