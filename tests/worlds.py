"""The same script in one process and in two, as `accelerate launch` starts them on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
LAUNCH = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
LAUNCH += ["--dynamo_backend", "no", "--main_process_port", "0"]


def run_worlds(worker: Path, tmp_path_factory) -> dict[int, Path]:
    """Number of processes → the folder that `worker FOLDER` wrote into."""
    environment = os.environ | {
        "PYTHONPATH": f"{worker.parent}:{TESTS}",
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    found = {}
    for world, command in {1: [], 2: ["-m", "accelerate.commands.launch", *LAUNCH]}.items():
        found[world] = tmp_path_factory.mktemp(f"world-{world}")
        arguments = [sys.executable, *command, str(worker), str(found[world])]
        run = subprocess.run(arguments, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-3000:]
    return found
