"""SIGTERM, in time and too late."""

import os
import signal
import subprocess
import sys
import time

import pytest

from depara_jax.sweep import PreemptedError, preemptible
from tests.sweep.helpers import ROOT, environment


def test_the_next_step_raises_and_the_handler_goes_again():
    before = signal.getsignal(signal.SIGTERM)
    with preemptible() as check:
        check()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        with pytest.raises(PreemptedError):
            check()
    assert signal.getsignal(signal.SIGTERM) == before


STUCK = """
import threading
from depara_jax.sweep.preemption import preemptible
with preemptible(grace=0.5) as check:
    print("in", flush=True)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # like a compilation: no step ever ends
"""


def test_a_step_that_does_not_end_is_abandoned():
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK], cwd=ROOT, env=environment(), stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"in\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
