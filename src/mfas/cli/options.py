"""Options that several verbs share, each with one name and one sentence of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file with the verb's configuration.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="key=value, dotted keys; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder or file to write.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Makes the run repeatable.")]
ModelDir = Annotated[
    Path | None,
    typer.Option("--model", help="Model directory (predict, explain, score, adapt: default weights if none)."),
]
Missing = Annotated[str | None, typer.Option("--missing", help="Modalities to take away, such as depth,ir.")]
Yunet = Annotated[
    Path | None, typer.Option("--yunet", help="YuNet ONNX file for face detection (default: LBP cascade).")
]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file that registers methods; may be repeated.")
]
Workers = Annotated[int | None, typer.Option("--workers", help="Parallel workers.")]
