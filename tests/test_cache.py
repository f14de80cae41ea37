"""The cache: bounded by bytes, one computation a key, nothing kept of a failure."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipinverter.cache import Cache


@given(
    max_bytes=st.integers(0, 40),
    requests=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=60),
)
def test_bound_holds_and_values_are_those_of_their_keys(max_bytes, requests):
    cache = Cache(max_bytes, len)
    for key, size in requests:
        value, _ = cache.get((key, size), lambda key=key, size=size: bytes([key]) * size)
        assert value == bytes([key]) * size
        assert cache.bytes <= max_bytes


def test_what_was_used_last_stays():
    cache = Cache(3, len)
    for key in "abcad":  # asking for a again makes b the oldest
        cache.get(key, lambda: b"1")
    assert [cache.get(key, lambda: b"2")[1] for key in "acd"] == [True, True, True]
    assert cache.get("b", lambda: b"2") == (b"2", False)


def test_a_value_above_the_bound_is_returned_and_evicts_nothing():
    cache = Cache(3, len)
    cache.get("small", lambda: b"1")
    assert cache.get("large", lambda: b"1234") == (b"1234", False)
    assert cache.get("small", lambda: b"2") == (b"1", True)


def test_threads_that_want_the_same_wait_for_one_computation():
    cache = Cache(100, len)
    started, calls = threading.Barrier(16), []

    def compute() -> bytes:
        calls.append(None)
        time.sleep(0.05)
        return b"value"

    def ask(_: int) -> tuple[bytes, bool]:
        started.wait()
        return cache.get("key", compute)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert len(calls) == 1
    assert {value for value, _ in answers} == {b"value"}
    assert sum(not hit for _, hit in answers) == 1


def test_keys_do_not_wait_for_each_other():
    cache = Cache(100, len)
    both_run = threading.Barrier(2, timeout=5)

    def compute() -> bytes:
        both_run.wait()  # passes only while both computations are under way
        return b"value"

    with ThreadPoolExecutor(2) as pool:
        assert [v for v, _ in pool.map(lambda key: cache.get(key, compute), "ab")] == [b"value"] * 2


def test_an_exception_reaches_everyone_who_waits_and_is_not_kept():
    cache = Cache(100, len)
    running, may_fail = threading.Event(), threading.Event()

    def fail() -> bytes:
        running.set()
        may_fail.wait(5)
        raise RuntimeError("no")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "key", fail)
        running.wait(5)
        second = pool.submit(cache.get, "key", lambda: b"not computed")
        time.sleep(0.05)
        may_fail.set()
        for answer in (first, second):
            with pytest.raises(RuntimeError, match="no"):
                answer.result(5)
    assert cache.get("key", lambda: b"value") == (b"value", False)


def test_find_never_computes_and_counts_as_use():
    cache = Cache(2, len)
    assert cache.find("a") is None
    for key in "ab":
        cache.get(key, lambda key=key: key.encode())
    assert cache.find("a") == b"a"
    cache.get("c", lambda: b"c")  # drops b, since a was asked for
    assert (cache.find("a"), cache.find("b")) == (b"a", None)
