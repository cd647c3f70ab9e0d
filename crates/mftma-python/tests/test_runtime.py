"""The lock, signals, threads, forks and memory."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import mftma

from conftest import clouds


def test_the_lock_is_free_meanwhile():
    """While one thread computes, another counts; it could not if the first held the lock."""
    x, labels = clouds()
    counts = []
    done = threading.Event()

    def work():
        try:
            mftma.analyze(x, labels, n_t=100_000, threads=1)
        finally:
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        counts.append(time.monotonic())
        time.sleep(0.001)
    thread.join()
    assert len(counts) > 20


@pytest.mark.parametrize(
    "call",
    [
        "mftma.analyze(x, y, n_t=2_000_000_000)",
        "mftma.joint_capacity(x, y, n_t=2_000_000_000)",
        "mftma.simulate_capacity(x, y, dichotomies=2_000_000_00)",
        "mftma.analyze({'a': x, 'b': x}, y, n_t=2_000_000_000)",
        # One piece of work that nothing inside looks at.
        "mftma.svcca(np.random.rand(4000, 4000), np.random.rand(4000, 4000))",
    ],
)
def test_interrupted(call):
    code = f"""
import signal, sys, numpy as np, mftma, warnings
# A shell that runs the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
warnings.simplefilter("ignore")
x, y = np.random.default_rng(0).normal(size=(400, 60)), np.repeat(np.arange(20), 20)
print("begun", flush=True)
try:
    {call}
except KeyboardInterrupt:
    print("stopped", flush=True)
    import os; os._exit(0)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        try:
            out, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert out == "stopped\n"


def test_many_threads():
    inputs = [clouds(seed=seed, dtype=dtype) for seed in range(4) for dtype in (np.float32, np.float64)]
    wanted = [mftma.analyze(*one) for one in inputs]
    found = [None] * 32

    def work(index):
        found[index] = mftma.analyze(*inputs[index % 8], threads=index % 3)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[i] == wanted[i % 8] for i in range(32))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_computes_too():
    code = """
import os, numpy as np, mftma, warnings
warnings.simplefilter("ignore")
x = np.random.default_rng(0).normal(size=(10, 8, 30))
wanted = mftma.analyze(x)
pid = os.fork()
if pid == 0:
    os._exit(0 if mftma.analyze(x) == wanted else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_threads_do_not_change_the_result():
    x, labels = clouds()
    assert mftma.analyze(x, labels, threads=1) == mftma.analyze(x, labels, threads=3)


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_ten_thousand_calls_leave_nothing():
    x, labels = clouds(p=3, m=4, n=8, dtype=np.float32)
    references = sys.getrefcount(x)

    def calls(count):
        for _ in range(count):
            mftma.analyze(x, labels, n_t=2, resamples=0)
            with pytest.raises(ValueError):
                mftma.analyze(x, labels[:-1])

    calls(1000)
    gc.collect()
    before = resident()
    calls(9000)
    gc.collect()
    # Arrays are let go in the calling thread or at the next call.
    mftma.analyze(x, labels, n_t=2)
    assert sys.getrefcount(x) <= references + 1
    # 9,000 leaked results would be some 40 MB.
    assert resident() - before < 12 << 20


def test_progress():
    x, labels = clouds(p=20, m=30, n=300)
    told = []
    mftma.analyze({"a": x, "b": x}, labels, n_t=20_000, progress=told.append)
    assert {one.layer for one in told} == {"a", "b"}
    assert "manifolds" in {one.stage for one in told}
    assert all(0 <= one.done <= one.total for one in told)
    last = [one for one in told if one.layer == "b"][-1]
    assert last.stage == "manifolds" and last.done == last.total == 20


def test_progress_bars(capsys, monkeypatch):
    x, labels = clouds()
    mftma.analyze(x, labels, progress=True)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    mftma.analyze({"a": x}, labels, progress=True)
    assert "%" in capsys.readouterr().err
