"""Commands that run the pipeline."""

from __future__ import annotations

import sys
from pathlib import Path

from bmix.cli.options import Edits, Name
from bmix.cli.show import Lines, show_result


def repro(edits: Edits = [], name: Name = "") -> int:  # noqa: B006 - typer's way to say that there may be none
    """Bring every stage up to date and show the result.

    Params and data are checked first. What is up to date is not run again; a stage that was killed goes on.

    Example: bmix repro --set training.epochs=40 noise.rate=0.2 --name longer
    """
    from bmix.pipeline.projects import open_project
    from bmix.pipeline.repro import PipelineError, reproduce
    from bmix.pipeline.start import other_epochs

    project = open_project(edits, name)
    try:
        with Lines() as lines:
            for line in other_epochs(project.params):
                lines.tell(line)
            if project.folder != Path():
                lines.tell(f"runs in {project.folder}")
            reproduce(project.folder, tell=lines.tell, environment=project.environment)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show_result(project.folder)
    return 0
