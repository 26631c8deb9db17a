"""What the demo shows of a page."""

from __future__ import annotations

import io

from parsl_exporter.demo.summary import Screen, counts_of, line, table

PAGE = """\
# TYPE parsl_tasks gauge
parsl_tasks{source="demo",run_id="1",app="simulate",executor="htex",state="pending"} 2
parsl_tasks{source="demo",run_id="1",app="simulate",executor="htex",state="exec_done"} 40
parsl_tasks{source="demo",run_id="1",app="simulate",executor="threads",state="pending"} 0
parsl_tasks{source="demo",run_id="1",app="simulate",executor="threads",state="exec_done"} 1
parsl_tasks{source="demo",run_id="1",app="check",executor="htex",state="pending"} 0
parsl_tasks{source="demo",run_id="1",app="check",executor="htex",state="exec_done"} 3
# TYPE parsl_blocks gauge
parsl_blocks{source="demo",run_id="1",executor="htex",state="PENDING"} 0
parsl_blocks{source="demo",run_id="1",executor="htex",state="RUNNING"} 2
# TYPE parsl_task_memory_resident_bytes gauge
parsl_task_memory_resident_bytes{source="demo",run_id="1",app="simulate",executor="htex"} 209715200
# TYPE parsl_task_cpu_seconds_total counter
parsl_task_cpu_seconds_total{source="demo",run_id="1",app="simulate",executor="htex",mode="user"} 1.5
parsl_task_cpu_seconds_total{source="demo",run_id="1",app="simulate",executor="htex",mode="system"} 0.25
"""


def test_a_line_has_the_totals_that_are_not_zero() -> None:
    assert line(counts_of(PAGE)) == "tasks: 2 pending, 44 exec_done; blocks: 2 RUNNING"


def test_a_line_of_a_page_without_runs_says_so() -> None:
    assert line(counts_of("")) == "tasks: none yet; blocks: none yet"


def test_a_table_has_a_row_a_state_and_a_column_an_app() -> None:
    assert table(counts_of(PAGE)) == [
        "tasks      simulate  check",
        "pending           2      .",
        "exec_done        41      3",
        "",
        "blocks of workers   2 RUNNING",
        "resources of tasks  1.8 s of CPU, 200 MiB held now",
    ]


def test_a_file_is_no_screen() -> None:
    assert not Screen(io.StringIO()).live


def test_what_is_shown_replaces_what_was_shown_and_what_is_said_stays() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.show(["one", "two"])
    screen.show(["three"])
    screen.say("end")
    screen.show(["four"])
    assert out.getvalue() == "one\ntwo\n\x1b[2A\x1b[Jthree\nend\nfour\n"
