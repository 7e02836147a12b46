"""What a fetch asks of a source before and after: wrong vectors of every kind end in an error, and nothing is kept."""

import contextlib
import itertools
import json
import time

import pytest
from embedding_server import EmbeddingServer, as_json, vector

from embalign.embeddings import asking
from embalign.embeddings.asking import is_same_model
from embalign.embeddings.cache import VectorCache
from embalign.embeddings.fetch import embed_pair
from embalign.embeddings.preflight import RECHECKED, RECHECKED_ALL, check_again, spread
from embalign.embeddings.source import Identity
from embalign.errors import SourceError, WrongVectorsError
from embalign.pairs.pair import check_pair, load_pair

COUNT = 40
TEXTS = [f"text {number} {'of many words ' * (number % 7)}end {number}" for number in range(COUNT)]
SIDE = 'source = "{source}"\nmodel = "little"\npooling = "mean"\nendpoint = "{url}"\n'


@pytest.fixture
def server(httpserver):
    """A healthy server of both protocols."""
    return EmbeddingServer(httpserver)


class Bench:
    """A pair without embeddings whose sides ask one server, and a cache."""

    def __init__(self, path, server):
        self.folder, self.cache = path / "pair", path / "cache.sqlite"
        self.folder.mkdir()
        self.server = server
        self.use("ollama")
        self.write(TEXTS)

    def use(self, source):
        side = SIDE.format(source=source, url=self.server.url)
        (self.folder / "pair.toml").write_text(f"[draft]\n{side}[teacher]\n{side}")

    def write(self, texts):
        lines = [json.dumps({"id": str(i), "text": text, "label": str(i % 8)}) for i, text in enumerate(texts)]
        (self.folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")

    def embed(self, **options):
        with contextlib.closing(VectorCache(self.cache)) as cache:
            embed_pair(self.folder, cache, quiet=options.pop("quiet", True), **options)
        check_pair(self.folder)
        return load_pair(self.folder)

    def refuse(self, message, error=SourceError, **options):
        """Embed: an error, and neither the cache nor the pair has anything of it."""
        with pytest.raises(error, match=message):
            self.embed(**options)
        assert self.stored() == 0
        assert not list((self.folder / "embeddings").glob("*"))

    def stored(self):
        with contextlib.closing(VectorCache(self.cache)) as cache, cache.transaction() as connection:
            return connection.execute("SELECT count(*) FROM vectors").fetchone()[0]

    def recorded(self):
        return json.loads((self.folder / "embeddings" / "provenance.json").read_text())


@pytest.fixture
def bench(tmp_path, server):
    return Bench(tmp_path, server)


def right(texts):
    return [vector(text) for text in texts]


def swapped(texts, one=0, other=1):
    found = right(texts)
    if len(found) > max(one, other):
        found[one], found[other] = found[other], found[one]
    return found


IN_COMPANY = {
    "above 8 texts": lambda texts: [vector(t + "|" * (len(texts) > 8)) for t in texts],
    "long texts": lambda texts: [vector(t + "|" * (len(texts) > 1 and len(t) > 60)) for t in texts],
    "the last row": lambda texts: [*right(texts[:-1]), vector(texts[-1] + "|" * (len(texts) > 1))],
    "the first row": lambda texts: [vector(texts[0] + "|" * (len(texts) > 1)), *right(texts[1:])],
    "short beside long": lambda texts: [vector(t + "|" * (len(t) < 30 and max(map(len, texts)) > 60)) for t in texts],
    "reversed": lambda texts: right(texts)[::-1],
    "two rows exchanged": swapped,
}


@pytest.mark.parametrize("fault", IN_COMPANY)
def test_vectors_that_depend_on_company_are_refused_before_anything_is_stored(bench, server, fault):
    server.after_probes(IN_COMPANY[fault])
    bench.refuse(r"cosine -?0\.\d+ to itself embedded alone.*--parallel 1")


ONE_FOR_MANY = {
    "all": lambda text: vector("x"),
    "by length": lambda text: vector(str(len(text))),
    "by the first word": lambda text: vector(text.split()[0]),
    "probes too": lambda text: vector("x"),
}


@pytest.mark.parametrize("fault", ONE_FOR_MANY)
def test_one_vector_for_different_texts_is_refused(bench, server, fault):
    def answer(texts):
        return [ONE_FOR_MANY[fault](text) for text in texts]

    server.after_probes(answer)
    if fault == "probes too":
        server.fault = answer
    bench.refuse("returns one vector for different texts")


CUTS = {
    "characters": lambda text: text[:60],
    "words": lambda text: " ".join(text.split()[:9]),
    "the start": lambda text: text[-60:],
    "bytes": lambda text: text.encode()[:70].decode(errors="ignore"),
    "just the last letters": lambda text: text[: max(map(len, TEXTS)) - 2],
}


@pytest.mark.parametrize("source", ["ollama", "openai"])
@pytest.mark.parametrize("fault", CUTS)
def test_a_server_that_cuts_in_silence_is_refused(bench, server, fault, source):
    bench.use(source)
    server.after_probes(lambda texts: [vector(CUTS[fault](text)) for text in texts])
    bench.refuse("cuts long texts in silence: the vector of the text of 98 characters")


def test_a_text_that_fits_exactly_is_not_cut(bench, server):
    longest = max(map(len, TEXTS))
    server.after_probes(lambda texts: [vector(text[:longest]) for text in texts])
    bench.embed()
    assert bench.stored() == COUNT


@pytest.mark.parametrize("length", [0.992, 1.008])
def test_lengths_that_are_not_quite_1_are_no_fault(bench, server, length):
    server.fault = lambda texts: [[length * value for value in vector(text)] for text in texts]
    bench.embed()


def test_a_server_that_refuses_what_is_too_long_passes_and_keeps_its_batches(bench, server):
    longest = max(map(len, TEXTS))
    too_long = as_json({"error": "the input length exceeds the context length"}, 400)
    server.after_probes(lambda texts: too_long if max(map(len, texts)) > longest else None)
    bench.embed()
    assert max(map(len, server.asked)) == asking.BATCH_TEXTS


def after(requests, answer):
    """Answer as a healthy server so many times, and then otherwise."""
    left = [requests]

    def behave(texts):
        left[0] -= 1
        return None if left[0] >= 0 else answer(texts)

    return behave


# A fetch of 40 texts has about 8 requests of the preflight, one batch more, and 6 of the check at the end.
@pytest.mark.parametrize("requests", [1, 3, 6, 8, 9, 10, 12])
@pytest.mark.parametrize("source", ["ollama", "openai"])
def test_a_model_that_changes_during_the_fetch_leaves_nothing(bench, server, requests, source):
    """Nothing that the server says of itself changes."""
    bench.use(source)
    server.after_probes(after(requests, lambda texts: [vector(f"other {text}") for text in texts]))
    bench.refuse("cosine|exchanged|another model")
    server.after_probes(lambda texts: None)
    assert abs(bench.embed().draft - right(TEXTS)).max() < 0.002


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("requests", [0, 1, 7, 8, 9, 10])
def test_rows_exchanged_once_or_from_then_on_are_found(bench, server, requests, times):
    """Whichever request it is: a batch of the preflight, of the fetch, or of the check."""
    left = [times]

    def exchange(texts):
        if len(texts) < 4:
            return None
        left[0] -= 1
        return swapped(texts, 2, 3) if left[0] >= 0 else None

    server.after_probes(after(requests, exchange))
    with contextlib.suppress(SourceError):
        pair = bench.embed()
        assert abs(pair.draft - right(TEXTS)).max() < 0.002, "wrong vectors are kept"
        assert left[0] == times, "none was exchanged"
    if left[0] < times:
        assert bench.stored() == 0


@pytest.mark.parametrize("change", ["digest", "weights", "version"])
def test_what_a_server_says_of_itself_is_asked_again_at_the_end(bench, server, change):
    def replace(texts):
        if change == "digest":
            server.models = [{"name": "little:latest", "digest": "c" * 64}]
        elif change == "weights":
            server.show = {"modelfile": f"FROM sha256-{'d' * 64}\n", "model_info": {"llama.pooling_type": 1}}
        else:
            server.version = "0.25.0"

    server.after_probes(after(5, replace))
    bench.refuse("the model or server was replaced during the fetch .* is now ", WrongVectorsError)


def test_an_unverified_server_that_stops_telling_of_itself_for_a_while_is_no_other_server(bench, server, monkeypatch):
    monkeypatch.setattr(asking, "IDENTITY_WAIT", 0.01)
    server.listed = [{"id": "little", "meta": {"n_params": 7}}]
    bench.use("openai")
    server.after_probes(after(5, lambda texts: setattr(server, "listed", [])))
    bench.embed()
    server.listed = [{"id": "little", "meta": {"n_params": 8}}]
    server.after_probes(after(5, lambda texts: setattr(server, "listed", [{"id": "little", "meta": {"n_params": 9}}])))
    bench.write([f"new {text}" for text in TEXTS])
    with pytest.raises(WrongVectorsError, match=r"weights 'n_params=8' is now 'n_params=9'"):
        bench.embed(refresh=True)


@pytest.mark.parametrize("source", ["ollama", "openai"])
@pytest.mark.parametrize(
    ("names", "fits"),
    [
        (["little"], True),
        (["Little:latest"], True),
        (["provider/little", "little"], True),
        (["/models/little.gguf"], True),
        (["little-2024-02-01", ""], True),
        (["large"], False),
        (["little-large"], False),
        (["little", "large"], False),
        (["little", "little-v2"], False),
    ],
)
def test_the_model_that_a_response_names_is_compared(bench, server, source, names, fits):
    """The first name may be another spelling of the one in pair.toml; from then on it stays."""
    bench.use(source)
    server.names = names
    if fits:
        bench.embed()
        assert bench.recorded()["draft"]["answered_as"] == names[0]
    else:
        bench.refuse(f"from model '{names[0]}'.*(set model = '{names[0]}' in|now from '{names[-1]}')")


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("hf.co/org/Little-GGUF:q8_0", "little", True),
        ("org/little:q8_0", "little-q8_0", False),
        ("little:7b", "LITTLE", True),
        ("little2", "little", False),
        ("little", "", False),
        ("little:7b", "little:13b", False),
    ],
)
def test_a_response_may_leave_out_the_end_of_a_name(asked, answered, same):
    assert is_same_model(answered, Identity("ollama", "ollama 1", asked)) is same


def test_a_server_that_lists_its_only_model_under_another_name_may_answer_so(bench, server):
    server.listed, server.names = [{"id": "/models/all.gguf"}], ["all"]
    bench.use("openai")
    bench.embed()


def test_vectors_of_a_killed_fetch_are_compared_before_others_join_them(bench, server):
    class Killed(BaseException):
        pass

    with contextlib.closing(VectorCache(bench.cache)) as cache:
        put = cache.put

        def put_and_die(*arguments, **options):
            put(*arguments, **options)
            raise Killed

        cache.put = put_and_die
        with pytest.raises(Killed):
            embed_pair(bench.folder, cache, quiet=True)
    assert 0 < bench.stored() < COUNT
    server.after_probes(lambda texts: [vector(f"other {text}") for text in texts])
    bench.refuse("cosine .* to the vector fetched before")
    bench.embed()


def test_an_unverified_model_replaced_between_two_runs_is_noticed_before_its_vectors_join_the_old(bench, server):
    bench.use("openai")
    bench.embed()
    bench.write([*TEXTS, "a new text"])
    server.after_probes(lambda texts: [vector(f"other {text}") for text in texts])
    kept = bench.stored()
    (bench.folder / "embeddings" / "draft.safetensors").unlink()
    with pytest.raises(WrongVectorsError, match=r"another model answers under this name.*--refresh"):
        bench.embed()
    assert bench.stored() == kept
    bench.embed(refresh=True)


def test_a_few_equal_vectors_are_said_and_recorded_and_texts_written_alike_are_no_error(bench, server, capsys):
    texts = [*[f"{text} and {number}" for number in range(8) for text in TEXTS], "TEXT 1 END", "text 1 end."]
    bench.write([*texts, "one text more", "another text more"])
    same = {"TEXT 1 END": "text 1 end.", "one text more": "another text more"}
    server.fault = lambda asked: right([same.get(text, text) for text in asked])
    bench.embed(quiet=False)
    output = capsys.readouterr().err
    assert "2 different texts share a vector with another, as " in output
    assert "2 texts that are written alike share a vector with another, as " in output
    assert bench.recorded()["draft"]["equal_vectors_of_different_texts"] == 2


def test_more_than_one_in_a_hundred_equal_vectors_are_an_error_at_the_end(bench, server):
    texts = [f"{text} and {number}" for number in range(8) for text in TEXTS]
    short = set(sorted(texts, key=len)[100:120])
    bench.write(texts)
    server.fault = lambda asked: right(["x" if text in short else text for text in asked])
    bench.refuse(r"one vector for different texts, in all for \d+ of 320")


def test_a_runner_that_is_away_for_a_while_is_no_fault_of_the_texts(bench, server):
    left = iter(range(7))

    def away(texts):
        return as_json({"error": "llama runner process has terminated"}, 500) if next(left, None) is not None else None

    server.after_probes(after(9, away))
    bench.embed()


@pytest.mark.parametrize("status", [400, 413, 422, 500])
@pytest.mark.parametrize("always", [False, True])
def test_a_text_is_asked_for_once_more_before_it_is_blamed(bench, server, always, status, monkeypatch):
    monkeypatch.setenv("EMBALIGN_REQUEST_SECONDS", "2")
    bad = min(TEXTS[20:], key=len)
    failures = itertools.count() if always else iter([1])

    def fail(texts):
        if bad not in texts or (len(texts) == 1 and next(failures, None) is None):
            return None
        return as_json({"error": "odd"}, status)

    server.after_probes(fail)
    if always:
        with pytest.raises(SourceError, match=rf"cannot embed 1 of \d+ texts: text {TEXTS.index(bad) + 1} .*: odd$"):
            bench.embed()
    else:
        bench.embed()


def test_a_server_that_stays_away_is_given_up_after_the_deadline(bench, server, monkeypatch):
    monkeypatch.setenv("EMBALIGN_REQUEST_SECONDS", "1")
    server.after_probes(after(3, lambda texts: as_json({"error": "llama runner process has terminated"}, 500)))
    started = time.monotonic()
    with pytest.raises(SourceError, match="llama runner process has terminated"):
        bench.embed()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(("limit", "status"), [(8, 413), (5, 500), (3, 413), (2, 422), (1, 400)])
def test_a_limit_of_texts_a_request_is_learnt_once(bench, server, limit, status, monkeypatch):
    monkeypatch.setenv("EMBALIGN_REQUEST_SECONDS", "2")

    def refuse(texts):
        return as_json({"error": f"batch size {len(texts)} > {limit}"}, status) if len(texts) > limit else None

    server.fault = refuse
    bench.embed()
    sizes = [len(texts) for texts in server.asked]
    first = next(place for place, size in enumerate(sizes) if size <= limit)
    assert max(sizes[first:]) <= limit


def test_of_a_large_fetch_a_sample_is_asked_for_again_in_other_company():
    class Asked:
        most = asking.BATCH_TEXTS
        source = identity = None

        def vectors(self, texts, prompt, corpus):
            batches.append(texts)
            return [stored[text] for text in texts]

    import numpy as np

    batches = []
    stored = {f"{'x' * (number // 16)} {number}": np.ones(1) for number in range(RECHECKED_ALL + 1000)}
    count, lowest = check_again(Asked(), "", stored, list(stored))
    assert (count, lowest) == (RECHECKED, 1.0)
    in_order = sorted(stored, key=len, reverse=True)
    places = {text: place // 16 for place, text in enumerate(in_order)}
    of_batches = [len({places[text] for text in batch}) for batch in batches if len(batch) == 16]
    assert min(of_batches) > 8
    assert {places[text] for batch in batches for text in batch} == set(places.values())  # each batch is sampled


def test_a_sample_has_one_of_each_run_and_is_the_same_every_time():
    texts = [str(number) for number in range(100)]
    sample = spread(texts, 10)
    assert [int(text) // 10 for text in sample] == list(range(10))
    assert sample == spread(texts, 10)
    assert spread(texts, 200) == texts
    assert spread(texts, 0) == spread([], 3) == []
