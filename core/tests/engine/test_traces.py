"""Traces in their three formats, the store's own log, and damaged ones refused with their line."""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.engine.accesslog import LOG_NAME, AccessLog, log_files
from ziggurat.engine.traces import read_log, read_trace
from ziggurat.errors import ConfigError


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_with_and_without_a_heading_and_operations(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,key,size,op\n0,a,10,get\n1.5,b,20,put\n2,a,10,\n3,c,0,read\n")
    assert read_trace(path) == [(0.0, "a", 10), (2.0, "a", 10), (3.0, "c", 0)]
    assert read_trace(write(tmp_path / "u.csv", "0,a,10\r\n1,b,5\r\n")) == [(0.0, "a", 10), (1.0, "b", 5)]


@pytest.mark.parametrize(
    "line",
    [
        "1,a",
        "x,a,1",
        "1,,1",
        "1,a,-1",
        "1,a,1.5",
        "nan,a,1",
        "inf,a,1",
        "1,a,1,get,more",
        "1,a,1125899906842625",
        "1," + "k" * 200_000 + ",1",
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        read_trace(write(tmp_path / "t.csv", f"0,a,1\n{line}\n"))


def test_the_binary_format_has_a_second_for_each_request(tmp_path: Path) -> None:
    packed = lzma.compress(struct.pack("<3I3I", 7, 8, 7, 100, 200, 100))
    assert read_trace(write(tmp_path / "t.xz", packed)) == [(0.0, "7", 100), (1.0, "8", 200), (2.0, "7", 100)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-9],
        lambda packed: packed[:6],
        lambda packed: packed[:6] + bytes(50),
        lambda packed: gzip.compress(packed)[:-9],
        lambda packed: gzip.compress(b"0,a,1\n" * 999)[:40],
        lambda packed: gzip.compress(b"0,a,1\n" * 999)[:-6] + bytes(6),
    ],
)
def test_a_damaged_binary_trace_is_refused(tmp_path: Path, damage: Any) -> None:
    packed = lzma.compress(struct.pack("<2I2I", 7, 8, 100, 200))
    with pytest.raises(ConfigError, match="damaged"):
        read_trace(write(tmp_path / "t.xz", damage(packed)))


@pytest.mark.parametrize(
    "data",
    [
        lzma.compress(struct.pack("<3I", 1, 2, 3)),
        struct.pack("<3I", 1, 2, 3),
        b"0,a,1\n\0\1\n",
        b"\x28\xb5\x2f\xfd\x04\x58",  # zstd
    ],
)
def test_what_is_neither_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError, match="neither text"):
        read_trace(write(tmp_path / "t.xz", data))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_both_formats_may_be_compressed(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    text = write(tmp_path / "t", pack(b"\xef\xbb\xbftime,key,size\n3,b,2\n1,a,5\n"))
    assert read_trace(text) == [(1.0, "a", 5), (3.0, "b", 2)], "in the order of time"
    binary = write(tmp_path / "u", pack(struct.pack("<2I2I", 7, 8, 100, 200)))
    assert read_trace(binary) == [(0.0, "7", 100), (1.0, "8", 200)]


def test_a_trace_may_come_through_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    feeder = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"0,a,10\n" * 5000,))
    feeder.start()
    assert len(read_trace(tmp_path / "pipe")) == 5000
    feeder.join()


@given(st.binary(max_size=300), st.sampled_from([bytes, gzip.compress, lzma.compress]))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_is_a_trace_or_a_configuration_error(
    tmp_path: Path, data: bytes, pack: Callable[[bytes], bytes]
) -> None:
    try:
        found = read_trace(write(tmp_path / "t", pack(data)))
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert all(0 <= size <= 1 << 50 for _, _, size in found)


def test_torn_lines_of_the_log_do_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = "1.000,a,10,get\n"
    path = write(tmp_path / LOG_NAME, good * 3 + "2.000,b,1" + good + good * 2 + "3.0")
    assert read_log([path]) == [(1.0, "a", 10)] * 5
    assert "2 lines could not be read" in caplog.text


def test_a_trace_without_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no reads"):
        read_trace(write(tmp_path / "t.csv", "0,a,1,put\n"))
    with pytest.raises(ConfigError, match="access_log = true"):
        read_log(log_files(tmp_path))


def test_the_log_is_bounded_rotated_and_private(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "catalog", lambda chore: chore(), limit=20_000)
    for number in range(10_000):
        log.note(f"key-{number}", number)
    log.flush()
    files = log_files(tmp_path / "catalog")
    assert [path.name for path in files] == [f"{LOG_NAME}.3", f"{LOG_NAME}.2", f"{LOG_NAME}.1", LOG_NAME]
    for path in files:
        assert path.stat().st_size <= 20_000
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = read_log(files)
    kept = [int(key.removeprefix("key-")) for _, key, _ in found]
    assert kept == list(range(kept[0], 10_000)), "the newest reads, none lost between two files"
    assert len(kept) > 1000
    assert read_log(files, 5) == found[-5:]


def test_logs_of_several_writers_do_not_mix_lines(tmp_path: Path) -> None:
    logs = [AccessLog(tmp_path, lambda chore: chore(), limit=10**9) for _ in range(4)]

    def fill(log: AccessLog, name: int) -> None:
        for number in range(2000):
            log.note(f"w{name}-{number}", name)
        log.flush()

    threads = [threading.Thread(target=fill, args=(log, name)) for name, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_log(log_files(tmp_path))
    assert len(found) == 8000
    assert len({key for _, key, _ in found}) == 8000


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = AccessLog(tmp_path / "file", lambda chore: None)
    log.note("key", 1)
    with pytest.raises(OSError, match="file"):
        log.flush()
