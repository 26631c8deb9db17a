"""The states of tasks and tries, and which of a task's rows is the greatest.

State names and their meaning: `parsl/dataflow/states.py`.
"""

from __future__ import annotations

PROGRESS = ("pending", "launched", "running", "running_ended", "joining", "fail_retryable")
"""The states of a try that is not final, lowest first."""
FINAL = ("memo_done", "exec_done", "dep_fail", "failed")
"""The final states, in the order that decides between two with one timestamp."""
STATES = PROGRESS + FINAL

PENDING, LAUNCHED, RUNNING, RUNNING_ENDED, JOINING, FAIL_RETRYABLE = range(6)
MEMO_DONE, EXEC_DONE, DEP_FAIL, FAILED = range(6, 10)
FIRST_FINAL = MEMO_DONE
WORKER_STATES = frozenset((RUNNING, RUNNING_ENDED))
"""The states that the worker writes; the submit process writes the others."""

TIMED = (PENDING, LAUNCHED, RUNNING, JOINING)
"""The states whose duration is observed, and in which a task is said to wait."""
