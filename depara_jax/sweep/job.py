"""SIGTERM in a job of several processes: all stop before the same step, whoever was told.

Processes of a job meet in collectives, so that one which stops alone leaves the others waiting. The
protocol is that of JAX's own `reached_preemption_sync_point`, which is not used because it takes
SIGTERM for itself: the process that is told says so in the job's key-value store; each then says
how many steps it has taken; and all stop one step after the largest of these numbers, which every
one of them still reaches.
"""

import contextlib
import os
import threading
import time
from typing import Any

from depara_jax.errors import DeparaError
from depara_jax.sweep.preemption import EXIT_CODE, GRACE, PreemptedError

__all__ = ["Job", "join_job"]

KEY = "depara_jax/preempted"
POLL = 0.2


def join_job(
    *,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> "Job":
    """Makes this process part of a job; before anything else of JAX is used.

    Args:
      coordinator: HOST:PORT of process 0; None where JAX finds it (TPU slices, Slurm).
      processes: how many there are.
      process: which this is.

    Raises:
      DeparaError: it cannot join.
    """
    import jax
    from jax._src import distributed

    # It would put its own SIGTERM handler in the place of ours.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator_address=coordinator, num_processes=processes, process_id=process
        )
    except (ValueError, RuntimeError) as error:
        raise DeparaError(
            f"--distributed: cannot join a job ({' '.join(str(error).split())[:200]}); outside TPU "
            "slices and Slurm give --coordinator, --processes and --process"
        ) from error
    state = distributed.global_state
    return Job(state.client, state.process_id, state.num_processes or 1)


class Job:
    """This process's part in a job: hears that any process was told to stop, and agrees when.

    Args:
      client: of the job's key-value store.
      process: which this is.
      count: how many there are.
      grace: seconds until this process ends if the step to stop at does not come.
    """

    def __init__(self, client: Any, process: int, count: int, *, grace: float = GRACE):
        self.client, self.process, self.count, self.grace = client, process, count, grace
        self.steps = 0
        self.last: int | None = None
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def tell(self) -> None:
        """Tells all processes of the job, this one too, to stop."""
        self.client.key_value_set(KEY, str(self.process), allow_overwrite=True)

    def check(self) -> None:
        """To be called between steps, by every process between the same ones.

        Raises:
          PreemptedError: this is the step that all stop at.
        """
        with self._lock:  # held while the processes agree, so that none goes on meanwhile
            self.steps += 1
            if self.last is not None and self.steps > self.last:
                raise PreemptedError("told to stop by SIGTERM")

    def close(self) -> None:
        """The work is over, and this process ends in its own time; the others need not wait."""
        self.over.set()
        # A thread inside JAX when Python ends would abort the process.
        self._listener.join()
        if self.last is None:
            with contextlib.suppress(Exception):  # the job may be gone
                self._say()

    def _listen(self) -> None:
        """Waits for the word, agrees on the step, and sees to it that the process ends."""
        if not self._told():
            return
        deadline = time.monotonic() + self.grace
        try:
            self._agree()
        except Exception:  # noqa: BLE001 - whatever it is, the job cannot stop together
            deadline = time.monotonic()
        if not self.over.wait(max(0.0, deadline - time.monotonic())):
            # Process 0 has the key-value store, and JAX aborts whoever loses it.
            time.sleep(0.0 if self.process else 1.0)
            os._exit(EXIT_CODE)

    def _told(self) -> bool:
        while not self.over.wait(POLL):
            try:
                self.client.key_value_try_get(KEY)
            except Exception as error:  # noqa: BLE001 - JAX has no class of its own for it
                if "NOT_FOUND" not in str(error):
                    return False  # the job is being taken down
            else:
                return True
        return False

    def _agree(self) -> None:
        with self._lock:
            self._say()
            wait = int(1000 * self.grace)
            taken = [
                int(self.client.blocking_key_value_get(f"{KEY}/{number}", wait))
                for number in range(self.count)
            ]
            self.last = max(taken)

    def _say(self) -> None:
        self.client.key_value_set(f"{KEY}/{self.process}", str(self.steps), allow_overwrite=True)
