"""One run of a fault: real processes and sockets, with drivers that misbehave in the place of peers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_cases import CONTROL, FAULTS, FAULTY, ROWS
from fault_judge import judge
from fault_run import NoVerdictError, run_case
from fault_systems import SYSTEMS, System

CASES = {case.name: case for fault in FAULTS for case in fault.cases}

ASK = """
import json, os, pathlib, sys, time, urllib.request
job, key = json.load(sys.stdin), os.environ["FAULTS_API_KEY"]
ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
def post(prompt, **headers):
    body = json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode()
    request = urllib.request.Request(job["url"] + "/chat/completions", body, headers)
    return json.load(ask(request, timeout=60))["choices"][0]["message"]["content"]
"""
ANSWER = """
rows = {number: {"status": "ok", "text": post(prompt)} for number, prompt in job["prompts"].items()}
pathlib.Path(job["result"]).write_text(json.dumps({"rows": rows, "crash": ""}))
"""


@pytest.fixture
def drive(tmp_path):
    """Run a case with a driver of this text."""

    def run(text, case=CONTROL, limit=300.0):
        driver = tmp_path / "driver.py"
        driver.write_text(text, encoding="utf-8")
        system = System("fake", "Fake", str(driver), "none")
        return run_case(system, Path(sys.executable), case, tmp_path / "run", limit)

    return run


def is_alive(pid):
    """Whether the process runs; one that has ended may wait for its parent's attention."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_driver_that_asks_and_answers_passes_the_control(drive):
    seen = drive(ASK + ANSWER)
    assert judge(CONTROL.expected, seen).kind == "right"
    assert sorted(seen.requests) == list(range(ROWS))


def test_only_the_faulty_row_meets_the_fault(drive):
    seen = drive(ASK + ANSWER, CASES["null"])
    assert judge(CASES["null"].expected, seen).reasons == ("handed on as None",)
    assert [row for row, end in seen.rows.items() if end.text is None] == [FAULTY]


def test_what_hangs_is_killed_with_all_its_processes(drive, tmp_path, monkeypatch):
    child = "import time; time.sleep(3600)"
    hang = f"""
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}])
pathlib.Path("child.txt").write_text(f"{{child.pid}}\\n")
time.sleep(3600)
"""
    written, communicate = tmp_path / "run" / "child.txt", subprocess.Popen.communicate

    def start_whole(process, *arguments, **options):
        """Let the time begin when both processes are there."""
        while not (written.exists() and written.read_text(encoding="utf-8").endswith("\n")):
            assert process.poll() is None
            time.sleep(0.01)
        return communicate(process, *arguments, **options)

    monkeypatch.setattr(subprocess.Popen, "communicate", start_whole)
    seen = drive(hang, limit=0.2)
    assert (seen.killed_after, seen.rows) == (0.2, {})
    pid = int(written.read_text(encoding="utf-8"))
    until = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < until, "the driver's own process lives on"
        os.sched_yield()


def test_a_key_that_is_written_down_is_found(drive):
    seen = drive(ASK + 'print("the key is", key)\npathlib.Path("cache").mkdir()\n'
                 'pathlib.Path("cache/config").write_text(key)\n' + ANSWER)  # fmt: skip
    assert seen.leaks == ("its file cache/config", "its file output.txt")


def test_a_key_and_a_prompt_that_follow_a_redirect_are_found(drive):
    follow = """
try:
    post(job["prompts"]["0"])
except urllib.error.HTTPError as error:
    job["url"] = error.headers["location"].removesuffix("/chat/completions")
    post(job["prompts"]["0"], Authorization=key)
pathlib.Path(job["result"]).write_text(json.dumps({"rows": {}, "crash": ""}))
"""
    seen = drive(ASK + follow, CASES["redirect"])
    assert (seen.strayed, seen.leaks) == (1, ("requests to another server",))


def test_the_way_to_other_machines_is_closed(drive):
    leave = """
try:
    urllib.request.urlopen("http://example.invalid/", timeout=60)
except urllib.error.URLError as error:
    crash = str(error.reason)
pathlib.Path(job["result"]).write_text(json.dumps({"rows": {}, "crash": crash}))
"""
    assert "refused" in drive(ASK + leave).crash


def test_a_driver_can_say_that_it_has_nothing_of_the_kind(drive):
    skip = 'pathlib.Path(job["result"]).write_text(json.dumps({"skipped": "has no such header"}))\n'
    with pytest.raises(NoVerdictError, match=r"^has no such header$"):
        drive(ASK + skip)


def test_a_driver_that_breaks_is_no_verdict(drive):
    with pytest.raises(NoVerdictError, match=r"^no verdict, its driver broke: ZeroDivisionError: .*"):
        drive("1 / 0")


@pytest.mark.plugins("standard", "openai")
def test_this_system_meets_a_fault(tmp_path):
    seen = run_case(SYSTEMS[0], Path(sys.executable), CASES["quota"], tmp_path / "run", 300.0)
    assert judge(CASES["quota"].expected, seen).kind == "right"
    assert {row.error.partition(":")[0] for row in seen.rows.values()} <= {"quota_exhausted", "pending"}
