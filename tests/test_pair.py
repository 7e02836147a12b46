"""Pair folders and corpora: what is accepted, and what each refusal says."""

import json
import pickle

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from embalign.errors import CorpusError, PairError
from embalign.pairs.config import find_pair, read_config
from embalign.pairs.corpus import read_corpus
from embalign.pairs.holdout import held_out_labels, split_holdout
from embalign.pairs.pair import Pair, check_pair, load_pair, pair_digest
from embalign.pairs.provenance import file_digest
from embalign.pairs.vectors import check_vectors_file, read_vectors, write_vectors

ITEM = '{"id": "a", "text": "one text", "label": "x"}'


@pytest.fixture
def corpus(tmp_path):
    """Return a function that writes corpus bytes and reads them."""

    def write_and_read(content):
        path = tmp_path / "corpus.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_corpus(path)

    return write_and_read


def test_byte_order_mark_crlf_and_blank_lines_are_accepted(corpus):
    items = corpus(b"\xef\xbb\xbf" + ITEM.encode() + b"\r\n\r\n" + ITEM.replace('"a"', '"b"').encode() + b"\r\n")
    assert [item.id for item in items] == ["a", "b"]


def test_null_is_an_absent_style(corpus):
    (item,) = corpus(ITEM[:-1] + ', "style": null, "base": null}')
    assert (item.style, item.base) == (None, None)


def test_a_line_separator_inside_a_text_does_not_end_the_line(corpus):
    (item,) = corpus('{"id": "a", "text": "one\u2028text", "label": "x"}')
    assert item.text == "one\u2028text"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ITEM + "\n" + ITEM, "line 2: id 'a' is already used on line 1"),
        (ITEM + '\n{"id": "b"', 'line 2: Input data was truncated; found \'{"id": "b"\'; an item is a JSON object'),
        ('["a"]', "Expected `object`, got `array`; found"),
        (
            ITEM + '\n{"id": "b", "label": "x"}',
            "line 2: Object missing required field `text`.*; an item is a JSON object of strings .* id, text",
        ),
        (ITEM.replace("label", "lable"), "unknown field `lable`"),
        (ITEM[:-1] + ', "colour": "red"}', "unknown field `colour`"),
        (ITEM.replace("one text", "  "), r"Expected `str` .*\$\.text`.*strings that are not blank"),
        (ITEM.replace('"a"', "1"), r"Expected `str`, got `int` - at `\$\.id`"),
        (ITEM.replace('"a"', "null"), r"Expected `str`, got `null` - at `\$\.id`"),
        (ITEM[:-1] + ', "style": "upper"}', "a style variant needs both style and base"),
        (ITEM + '\n{"id": "b", "text": "T", "label": "x", "style": "upper", "base": "c"}', "base 'c'"),
        ('{"_id": "a", "text": "one", "title": ""}', "line 1: a line of a BEIR corpus; name its queries and qrels"),
        ("\n", "no plain item"),
        (ITEM.encode() + b"\n\xff", "line 2: not UTF-8"),
        ("[" * 100_000, "line 1: Expected `object`"),
        ('{"id": ' + "1" * 5000 + "}", "line 1: Number out of range"),
        (ITEM.replace("one text", "\\ud800"), r"surrogate pair .*; found .*\\ud800"),
    ],
)
def test_corpus_errors_name_line_and_cause(corpus, content, message):
    with pytest.raises(CorpusError, match=message):
        corpus(content)


def test_a_missing_corpus_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"No such file.*a pair needs a corpus"):
        read_corpus(tmp_path / "corpus.jsonl")


def test_the_shipped_pair_is_what_its_provenance_says(smollm2):
    assert smollm2.draft.shape == (len(smollm2.items), 576)
    assert smollm2.teacher.shape == (len(smollm2.items), 768)
    assert len(smollm2.styled) == len(smollm2.styled_draft) > 1000
    assert {item.style for item in smollm2.styled} == {"sentence", "answer", "bullet", "upper"}
    for vectors in (smollm2.draft, smollm2.teacher, smollm2.styled_draft):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_test_set_is_a_fifth_in_whole_label_groups(smollm2):
    split = smollm2.holdout
    train, test = (set(smollm2.labels[rows]) for rows in (split.train, split.test))
    assert not train & test
    assert len(split.test) / len(smollm2.items) == pytest.approx(0.2, abs=0.01)
    styled_labels = {item.label for item in smollm2.styled}
    assert styled_labels <= test


def test_near_duplicates_of_training_texts_leave_the_test_set():
    labels = [f"group{i}" for i in range(10) for _ in range(2)]
    texts = [f"w{i}a w{i}b w{i}c w{i}d w{i}e" for i in range(20)]
    held_out = held_out_labels(labels)
    test_item = next(i for i, label in enumerate(labels) if label in held_out)
    train_item = next(i for i, label in enumerate(labels) if label not in held_out)
    texts[train_item] = texts[test_item].upper() + "!"
    split = split_holdout(texts, labels)
    assert split.near_duplicates.tolist() == [test_item]
    assert test_item not in split.test
    assert test_item not in split.train


def test_one_label_cannot_be_split():
    with pytest.raises(ValueError, match="use at least two labels"):
        split_holdout(["a", "b"], ["x", "x"])


def test_a_label_of_its_own_for_each_text_leaves_nothing_to_find():
    with pytest.raises(ValueError, match="give texts that should retrieve each other the same label"):
        split_holdout([f"text {i}" for i in range(20)], [str(i) for i in range(20)])


def test_a_small_pair_loads(small_pair):
    check_pair(small_pair)
    pair = load_pair(small_pair)
    assert pair.name == "small"
    assert pair.draft.shape == (240, 48)


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[draft]", "[draught]", r"unknown field `draught`.*; did you mean 'draft'\?"),
        ("pooling", "poling", r"unknown field `poling` - at `\$\.draft`; .*; did you mean 'pooling'"),
        ('"mean"', '"max"', r"'max' - at `\$\.draft\.pooling`; .*pooling \(last, mean"),
        ('"openai"', '"open ai"', r"'open ai' - at `\$\.draft\.source`"),
        ("corpus.jsonl", "../corpus.jsonl", "outside the pair's folder"),
        ("[draft]", "[draft", "not valid TOML"),
        ("model = ", "endpoint = ", "field `model`|not valid TOML"),
        ('"mean"', "3", r"got `int` - at `\$\.draft\.pooling`; .*a string in quotes"),
        ('"corpus.jsonl"', '["corpus.jsonl"]', r"got `array` - at `\$\.corpus`; .*a string in quotes"),
    ],
)
def test_pair_toml_errors_name_the_near_key(small_pair, old, new, message):
    edit(small_pair / "pair.toml", old, new)
    with pytest.raises(PairError, match=message):
        read_config(small_pair)


def test_a_pair_toml_that_is_not_utf8_is_refused(small_pair):
    (small_pair / "pair.toml").write_bytes("# Modèle\n".encode("latin-1"))
    with pytest.raises(PairError, match="not valid TOML"):
        read_config(small_pair)


HOSTILE = {
    "deeply nested": ("corpus = " + "[" * 5000, "not valid TOML"),
    "many dots": (".".join("a" * 20_000) + " = 1", "bytes; the limit is"),
    "a NUL in a path": (
        'corpus = "a\\u0000b"\n[draft]\nsource="openai"\nmodel="a"\n[teacher]\nsource="openai"\nmodel="a"',
        "outside",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_pair_toml_is_refused_at_once(small_pair, kind):
    content, message = HOSTILE[kind]
    (small_pair / "pair.toml").write_text(content)
    with pytest.raises(PairError, match=message):
        read_config(small_pair)


def test_a_pair_toml_that_cannot_be_read_is_named(small_pair):
    (small_pair / "pair.toml").unlink()
    with pytest.raises(PairError, match=r"pair\.toml: cannot be read \(No such file"):
        read_config(small_pair)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "/dev/null"])
def test_names_that_no_file_system_takes_are_no_pairs(tmp_path, name):
    with pytest.raises(PairError, match="no pair"):
        find_pair(name, tmp_path)


def test_unknown_pairs_suggest_the_near_name(small_pair, tmp_path):
    assert find_pair("small", tmp_path) == find_pair(str(small_pair), tmp_path) == small_pair
    with pytest.raises(PairError, match="did you mean 'small'"):
        find_pair("smal", tmp_path)


def rewrite_vectors(folder, vectors):
    """Replace the draft's vectors and record their digest, as a faulty source would leave them."""
    save_file({"embeddings": vectors}, folder / "embeddings" / "draft.safetensors")
    record_digest(folder)


def record_digest(folder):
    """Record the digest of the draft's file as it is now."""
    path = folder / "embeddings" / "draft.safetensors"
    record = folder / "embeddings" / "provenance.json"
    provenance = json.loads(record.read_text())
    provenance["draft"]["sha256"] = file_digest(path)
    record.write_text(json.dumps(provenance))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v[:-1], r"shape \(239, 48\) does not match the corpus, which has 240"),
        (lambda v: np.where(np.arange(240)[:, None] == 7, np.nan, v), "row 7 has length nan"),
        (lambda v: np.where(np.arange(240)[:, None] == 9, 0, v), "row 9 has length 0"),
        (lambda v: 2 * v, "row 0 has length 2"),
    ],
)
def test_faulty_vectors_are_refused(small_pair, change, message):
    vectors = load_pair(small_pair).draft
    rewrite_vectors(small_pair, change(vectors).astype(np.float16))
    with pytest.raises(PairError, match=message):
        load_pair(small_pair)


def bfloat16(path):
    """The tensor of a safetensors file as another type, by its header: NumPy has no such type."""
    content = path.read_bytes()
    assert content.count(b'"F16"') == 1
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].replace(b'"F16"', b'"BF16"').rstrip()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])


@pytest.mark.parametrize("check", [load_pair, check_pair])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (bfloat16, "its values are BF16; save them as one of F16, F32, F64"),
        (lambda path: save_file({"embeddings": np.ones((240, 48), np.int64)}, path), "its values are I64"),
        (
            lambda path: save_file({"embeddings": np.eye(240, 49, dtype=np.float32)}, path),
            "dimension 49, .* records 48",
        ),
        (lambda path: save_file({"vectors": np.eye(240, 48, dtype=np.float32)}, path), "a tensor 'embeddings'"),
        (lambda path: save_file({"embeddings": np.ones(240, np.float32)}, path), r"shape \(240,\) does not match"),
        (lambda path: path.write_bytes(b""), "not a safetensors file"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read|not a safetensors file"),
    ],
)
def test_files_of_another_shape_or_type_are_refused_before_the_first_cell(small_pair, check, change, message):
    path = small_pair / "embeddings" / "draft.safetensors"
    change(path)
    if path.is_file():
        record_digest(small_pair)
    with pytest.raises(PairError, match=message):
        check(small_pair)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_vectors_of_wider_types_load_as_float32(small_pair, kind):
    before = load_pair(small_pair).draft
    rewrite_vectors(small_pair, before.astype(kind))
    after = load_pair(small_pair).draft
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_a_pair_reads_its_files_on_first_use_and_once(small_pair):
    pair = Pair(small_pair)
    moved = small_pair.rename(small_pair.with_name("elsewhere"))
    assert (pair.name, pair.folder) == ("small", small_pair)
    with pytest.raises(PairError, match=r"pair\.toml: cannot be read"):
        _ = pair.items
    moved.rename(small_pair)
    draft, holdout = pair.draft, pair.holdout
    small_pair.rename(moved)
    assert pair.draft is draft
    assert pair.holdout is holdout
    assert (len(pair.items), pair.teacher.shape, pair.labels.shape) == (240, (240, 64), (240,))
    assert (pair.styled, pair.styled_draft.shape, pair.config.corpus) == ((), (0, 48), "corpus.jsonl")


def test_a_loaded_pair_goes_whole_to_where_its_folder_is_not(small_pair):
    pair = load_pair(small_pair)
    sent = pickle.dumps(pair)
    small_pair.rename(small_pair.with_name("elsewhere"))
    found = pickle.loads(sent)
    assert (found.name, found.items, found.config) == (pair.name, pair.items, pair.config)
    np.testing.assert_array_equal(found.draft, pair.draft)
    np.testing.assert_array_equal(found.holdout.test, pair.holdout.test)


def test_a_pair_that_is_not_read_is_pickled_as_its_place(small_pair):
    assert len(pickle.dumps(Pair(small_pair))) < 1000
    assert len(pickle.loads(pickle.dumps(Pair(small_pair))).items) == 240


def test_pairs_are_told_apart_by_identity(small_pair):
    """Caches keep what belongs to a pair under the pair itself."""
    one, other = load_pair(small_pair), load_pair(small_pair)
    assert one != other
    assert len({one, other, one}) == 2


def test_other_vectors_leave_the_pair_as_it_was(small_pair):
    pair = load_pair(small_pair)
    other = pair.with_vectors(draft=-pair.draft)
    np.testing.assert_array_equal(other.draft, -pair.draft)
    assert other.teacher is pair.teacher
    assert other.items is pair.items
    assert (pair.draft * other.draft).sum(axis=1).max() < 0
    with pytest.raises(ValueError, match="teacher: 3 vectors for the 240 items of small"):
        pair.with_vectors(teacher=pair.teacher[:3])


@pytest.mark.parametrize("check", [load_pair, check_pair])
def test_a_changed_corpus_is_refused_with_both_digests(small_pair, check):
    recorded = file_digest(small_pair / "corpus.jsonl")
    edit(small_pair / "corpus.jsonl", "a", "b")
    with pytest.raises(PairError, match=recorded) as caught:
        check(small_pair)
    assert file_digest(small_pair / "corpus.jsonl") in str(caught.value)


def test_a_changed_vector_changes_the_digest_and_is_refused(small_pair):
    before = pair_digest(small_pair)
    path = small_pair / "embeddings" / "teacher.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert pair_digest(small_pair) != before
    with pytest.raises(PairError, match=r"teacher\.safetensors: its SHA-256"):
        check_pair(small_pair)


@pytest.mark.parametrize("name", ["draft.safetensors", "provenance.json"])
def test_missing_embeddings_are_named(small_pair, name):
    (small_pair / "embeddings" / name).unlink()
    with pytest.raises(PairError, match="has not been embedded yet"):
        load_pair(small_pair)


def test_files_that_are_not_what_they_should_be_are_never_unpickled(small_pair):
    (small_pair / "embeddings" / "draft.safetensors").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(PairError, match="not a safetensors file"):
        load_pair(small_pair)
    (small_pair / "embeddings" / "provenance.json").write_text("[]")
    with pytest.raises(PairError, match="Expected `object`, got `array`"):
        load_pair(small_pair)
    (small_pair / "embeddings" / "provenance.json").write_text("{")
    with pytest.raises(PairError, match="not valid JSON"):
        load_pair(small_pair)


def int8(vectors):
    """Rows as int8 with a scale each."""
    scale = (np.abs(vectors).max(axis=1) / 127).astype(np.float32)
    return {"embeddings": np.rint(vectors / scale[:, None]).astype(np.int8), "scale": scale}


def write_tensors(folder, tensors):
    """Put tensors in the place of the draft's, and record their digest."""
    path, record = folder / "embeddings" / "draft.safetensors", folder / "embeddings" / "provenance.json"
    save_file(tensors, path)
    content = json.loads(record.read_text())
    content["draft"]["sha256"] = file_digest(path)
    record.write_text(json.dumps(content))


def test_int8_rows_are_the_vectors_they_were_made_from(small_pair):
    vectors = load_pair(small_pair).draft
    write_tensors(small_pair, int8(vectors))
    found = load_pair(small_pair).draft
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert (found * vectors).sum(axis=1).min() >= 0.9998


def test_vectors_are_written_so_that_they_are_read_back(tmp_path, smollm2):
    for storage, size in (("float16", 2), ("int8", 1)):
        path = tmp_path / f"{storage}.safetensors"
        write_vectors(path, smollm2.teacher[:300], storage)
        rows = 300 * smollm2.teacher.shape[1] * size
        assert rows < path.stat().st_size < rows + 2000
        with safe_open(path, framework="numpy") as file:
            stored = file.get_tensor("embeddings").astype(np.float32)
            stored *= file.get_tensor("scale")[:, None] if storage == "int8" else 1
        cosines = (stored * smollm2.teacher[:300]).sum(axis=1) / np.linalg.norm(stored, axis=1)
        assert cosines.min() >= 0.9999


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"embeddings": t["embeddings"]}, r"int8 rows need a tensor 'scale', .* shape \(240,\), .* is none"),
        (lambda t: t | {"scale": t["scale"][:-1]}, r"there is F32 of shape \(239,\)"),
        (lambda t: t | {"scale": t["scale"].astype(np.float64)}, "there is F64 of shape"),
        (
            lambda t: t | {"scale": np.where(np.arange(240) == 5, np.nan, t["scale"]).astype(np.float32)},
            "row 5 has length nan",
        ),
        (lambda t: t | {"scale": 2 * t["scale"]}, "row 0 has length 2"),
        (lambda t: {"embeddings": t["embeddings"].astype(np.int16)}, "its values are I16; save them as one of F16"),
    ],
)
def test_faulty_int8_rows_are_refused(small_pair, change, message):
    write_tensors(small_pair, change(int8(load_pair(small_pair).draft)))
    with pytest.raises(PairError, match=message):
        load_pair(small_pair)


def outlying(count=300, dimensions=64):
    """Unit vectors in which two dimensions are far larger than the others, as those of language models are."""
    generator = np.random.default_rng(0)
    values = generator.standard_normal((count, dimensions))
    values[:, 3] += 40
    values[:, 17] *= 25
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("stands_out", [False, True])
def test_int8_rows_keep_their_direction_whether_a_dimension_stands_out_or_not(tmp_path, stands_out):
    vectors = outlying()
    if not stands_out:
        vectors[:, [3, 17]] = vectors[:, [4, 5]]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    path = tmp_path / "embeddings" / "draft.safetensors"
    path.parent.mkdir()
    write_vectors(path, vectors, "int8")
    assert ("dimension_scale" in load_file(path)) == stands_out
    provenance = {"draft": {"sha256": file_digest(path), "dimension": 64}}
    found = read_vectors(tmp_path, "draft", len(vectors), provenance)
    assert (found * vectors).sum(axis=1).min() >= 0.9999


@pytest.mark.parametrize(("shape", "kind"), [((63,), np.float32), ((64,), np.float64)])
def test_a_scale_of_dimensions_of_another_shape_or_type_is_refused(tmp_path, shape, kind):
    path = tmp_path / "embeddings" / "draft.safetensors"
    path.parent.mkdir()
    write_vectors(path, outlying(), "int8")
    save_file(load_file(path) | {"dimension_scale": np.ones(shape, kind)}, path)
    provenance = {"draft": {"sha256": file_digest(path), "dimension": 64}}
    with pytest.raises(PairError, match=r"need a tensor 'dimension_scale', float32 of shape \(64,\), and there is F"):
        check_vectors_file(tmp_path, "draft", 300, provenance)
