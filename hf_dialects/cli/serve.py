"""hf-dialects serve"""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    model: Annotated[str, typer.Argument(help="Run folder, model folder or Hub id.")],
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="By default the first free one from 7860 on.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets the whole network in.")] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
    longest: Annotated[float, typer.Option(min=0.1, help="Minutes; longer recordings are refused.")] = 30.0,
    min_speech: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Leave out windows with a smaller share of speech; a file with no other is 'no speech'."
        ),
    ] = 0.1,
) -> None:
    """A page in the browser to record or upload a recording and see its dialect, in all and window by window.

    Nothing leaves this machine, and a recording is deleted as soon as it is answered. Control-C ends it. Needs
    pip install 'hf-dialects[space]'.

    Examples:

      hf-dialects serve runs/demo/seed-0

      hf-dialects serve runs/demo/seed-0 --port 8000 --no-browser --longest 5
    """
    from hf_dialects.cli import shell
    from hf_dialects.extras import require

    require("gradio", "space")
    shell.start()
    from hf_dialects.hub.space import page_settings
    from hf_dialects.models.pipeline_dialect import DialectPipeline
    from hf_dialects.saving import load_for_inference
    from hf_dialects.space import app

    network, feature_extractor = load_for_inference(model)
    classify = DialectPipeline(model=network, feature_extractor=feature_extractor)
    title = Path(model).resolve().name if Path(model).exists() else model
    settings = page_settings(list(network.config.id2label.values()), title)
    app.serve(classify, settings, longest, min_speech, server_name=host, server_port=port, inbrowser=not no_browser)
