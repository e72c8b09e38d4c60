"""Stand-ins for `fuzzing.trial.attempt` that end badly at one input, to see that it is counted and that the rest goes on."""

import os
import signal
import time

from fuzzing.outcome import Outcome


def dies(seed: int, number: int) -> Outcome:
    """Ends the process at the third input."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return Outcome("refused")


def hangs(seed: int, number: int) -> Outcome:
    """Does not come back from the second."""
    if number == 1:
        time.sleep(600)
    return Outcome("refused")
