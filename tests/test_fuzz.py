"""Every reader meets some hostile files here; `fuzz_readers.py` gives each as many as are asked for."""

import fuzz_readers
import pytest
from fuzz_inputs import READERS

EXAMPLES = {"http": 20, "conclusion": 30}
USUAL = 60


@pytest.mark.parametrize("name", READERS)
def test_only_errors_of_the_family_come_out_of_a_reader(name, tmp_path):
    record = fuzz_readers.fuzz(name, EXAMPLES.get(name, USUAL), tmp_path)
    assert not record.findings
    assert record.inputs >= EXAMPLES.get(name, USUAL) // 2
    assert record.slowest < fuzz_readers.SECONDS


def test_a_reader_that_lets_another_error_through_is_found(tmp_path, monkeypatch):
    make, drive = READERS["pair.toml"]

    def leaky(now, content):
        drive(now, content if b"\x00" not in content else content + 1)

    monkeypatch.setitem(READERS, "pair.toml", (make, leaky))
    record = fuzz_readers.fuzz("pair.toml", 200, tmp_path)
    assert ["TypeError" in place for place, _ in record.findings.values()] == [True]


def test_a_reader_that_hangs_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_readers, "SECONDS", 0.05)
    make, _ = READERS["pair.toml"]

    def endless(now, content):
        while True:
            pass

    monkeypatch.setitem(READERS, "pair.toml", (make, endless))
    record = fuzz_readers.fuzz("pair.toml", 2, tmp_path)
    assert ["HangError" in place for place, _ in record.findings.values()] == [True]
