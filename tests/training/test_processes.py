import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[1] / "shared" / "two_processes.py"


def run(processes, out):
    """What a launcher does, on the loopback device alone: no host name has to be known."""
    shared = {"OMP_NUM_THREADS": "1", "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(out)],
            env=os.environ | ({**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else shared),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    errors = [process.communicate()[1] for process in started]
    assert not any(process.returncode for process in started), "\n".join(errors)
    return load_file(out)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_two_processes_train_as_one_on_episodes_and_with_a_term_and_a_pool(tmp_path):
    one, two = run(1, tmp_path / "one.safetensors"), run(2, tmp_path / "two.safetensors")
    assert (one.pop("processes"), two.pop("processes")) == (1, 2)
    assert one.keys() == two.keys() and "adapted.discriminator.0.weight" in one
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-6, atol=1e-9)
