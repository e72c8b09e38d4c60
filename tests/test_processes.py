import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("two_processes.py")


def run(processes, out):
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *launcher, str(SCRIPT), str(out)], env=environment, check=True, capture_output=True)
    return load_file(out)


def test_two_processes_over_the_same_episodes_train_as_one(tmp_path):
    one, two = run(1, tmp_path / "one.safetensors"), run(2, tmp_path / "two.safetensors")
    assert (one.pop("processes"), two.pop("processes")) == (1, 2)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-6, atol=1e-9)
