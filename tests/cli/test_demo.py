"""The demo from the console script, where the synthesiser is not installed: it falls back to the shipped fixture."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("hf-dialects")


def test_demo_on_the_fixture(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['espeakng_loader'] = None\n")
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "HF_DIALECTS_CACHE": str(tmp_path / "cache"),
    }
    command = [str(SCRIPT), "demo", "training.num_train_epochs=1", "--out", str(tmp_path / "out"), "--seeds", "2"]
    command += ["--json", str(tmp_path / "demo.json")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "say nothing about real dialects" in run.stdout
    assert "over 2 seeds" in run.stdout
    assert "majority" in run.stdout
    assert run.stdout.strip().splitlines()[-1].startswith("the pipeline hears ")
    answer = json.loads((tmp_path / "demo.json").read_text())
    assert len(answer["accuracy"]) == 2
    results = json.loads((tmp_path / "out" / "seed-0" / "results.json").read_text())
    assert results["data"]["splits"]["train"]["n"] == 128
    assert str(tmp_path) not in json.dumps(results)
