"""Arguments and options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Argument(
        help="A data file in any accepted format; or a folder, a pattern in quotes, hf://OWNER/NAME@REVISION.",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option(help="Write the result to this file.", show_default=False)]
HeldOut = Annotated[Path | None, typer.Option("--held-out", help="Rows of this file are left out.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
