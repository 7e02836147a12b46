"""Near-duplicates across the split: by the definition, in every script, and without a matrix of all pairs."""

import itertools
import random
import tracemalloc
import unicodedata
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_folders import ROOT
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer

from embalign.pairs import near_duplicates as module
from embalign.pairs import signatures
from embalign.pairs.corpus import Unwritten, read_corpus
from embalign.pairs.holdout import held_out_labels, split_holdout
from embalign.pairs.near_duplicates import near_duplicates
from embalign.pairs.one_edit import within_one_edit
from embalign.pairs.similar_sets import similar_sets

SENTENCES = {
    "Chinese": "我们昨天晚上在河边的小饭馆里吃了一顿非常丰盛的晚餐然后沿着长满柳树的堤岸慢慢走回学校宿舍",
    "Japanese": "私たちは昨日の夜に川のそばの小さなレストランでとてもおいしい夕食を食べてからゆっくり歩いて帰った",
    "Thai": "เมื่อวานนี้พวกเราไปกินข้าวเย็นที่ร้านอาหารเล็กริมแม่น้ำแล้วเดินกลับบ้านอย่างช้าๆ",
    "Khmer": "កាលពីល្ងាចមិញយើងបានទៅញ៉ាំអាហារនៅភោជនីយដ្ឋានតូចមួយ",
    "Javanese": "ꦲꦏ꧀ꦱꦫꦗꦮꦏꦁꦢꦶꦒꦸꦤꦏꦏꦺꦏꦁꦒꦺꦴꦤꦸꦭꦶꦱ꧀ꦧꦱꦗꦮ",
    "Korean": "우리는 어제 저녁에 강가의 작은 식당에서 아주 맛있는 저녁을 먹고 학교 기숙사까지 천천히 걸어서 돌아왔다",
    "Arabic": "ذهبنا أمس مساء إلى مطعم صغير قرب النهر وتناولنا عشاء لذيذا ثم عدنا إلى البيت سيرا على الأقدام ببطء",
    "Hindi": "हम कल शाम नदी के किनारे एक छोटे रेस्तराँ में खाना खाने गए और फिर धीरे धीरे पैदल घर लौट आए",
    "Greek": "ΧΘΕΣ το βράδυ φάγαμε σε ένα μικρό εστιατόριο δίπλα στο ποτάμι και γυρίσαμε ΣΙΓΑ ΣΙΓΑ στους κοιτώνες μας",
    "Vietnamese": "Tối hôm qua chúng tôi đã ăn tối ở một quán nhỏ bên bờ sông rồi thong thả đi bộ về ký túc xá",
    "English": "I had a look at a well known tale of 2 cities, so I was up all night by a fire; it is as good a "
    "read as ever it was, and we all know who wrote it in 1859 for his own weekly paper, don't we?",
}
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE", "BALINESE", "YI")
LEXICON = [f"word{number}" for number in range(3000)]
JACCARD, MOST_TOKENS = Fraction(4, 5), 26
SCRIPTS = (
    "中文字中",
    "あいアー",
    "ภาไทยำ่",
    "កខ្ា",
    "ꦲꦏ꧀",
    "་བོད",
    "한국어",
    "لعرب",
    "हिन्दी",
    "Éeab",
    "σςΣ",
    "😀!",
    "ab 中本ไท가é3_.",
)
texts_of_a_script = st.sampled_from(SCRIPTS).flatmap(lambda letters: st.text(letters + " .", max_size=14))


def words_of(text):
    """By the definition: letters, numbers, marks and the underscore are in words, all else parts them."""
    text = unicodedata.normalize("NFKC", text).lower().replace("ς", "σ")
    for am in "ำຳ":
        text = text.replace(unicodedata.normalize("NFKC", am), am)
    return "".join(
        c if c.isalnum() or c == "_" or unicodedata.category(c) in ("Mn", "Mc") else " " for c in text
    ).split()


def tokens_of(words):
    found = set()
    for word in words:
        cuts = [i for i in range(1, len(word)) if unspaced(word[i]) != unspaced(word[i - 1])]
        for start, end in zip([0, *cuts], [*cuts, len(word)], strict=True):
            run = word[start:end]
            found |= {run[i : i + 2] for i in range(len(run) - 1)} if unspaced(run[0]) and len(run) > 1 else {run}
    return found


def unspaced(letter):
    return unicodedata.name(letter, "").startswith(UNSPACED)


def one_edit(left, right):
    if len(left) == len(right):
        return sum(a != b for a, b in zip(left, right, strict=True)) == 1
    longer, shorter = sorted([left, right], key=len, reverse=True)
    return any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))


def is_near(left, right):
    one, other = words_of(left), words_of(right)
    if not one or not other:
        return not one and not other and unicodedata.normalize("NFKC", left).split() == right.split()
    tokens, others = tokens_of(one), tokens_of(other)
    if len(tokens & others) >= JACCARD * len(tokens | others):
        return True
    if max(len(tokens), len(others)) > MOST_TOKENS:
        return False
    one, other = "".join(one), "".join(other)
    return one == other or (max(len(one), len(other)) >= 3 and one_edit(one, other))


@st.composite
def edited(draw, texts):
    """A text with one character changed, inserted or deleted."""
    text = draw(texts)
    place, letter = draw(st.integers(0, len(text))), draw(st.sampled_from("".join(SCRIPTS) + " "))
    return text[:place] + draw(st.sampled_from(["", letter])) + text[place + draw(st.integers(0, 1)) :]


@st.composite
def text_lists(draw):
    """Texts and a pool in which some are equal or one edit apart."""
    pool = draw(st.lists(texts_of_a_script, min_size=1, max_size=6))
    near = edited(edited(st.sampled_from(pool)) | st.sampled_from(pool))
    return draw(st.lists(texts_of_a_script | near, max_size=8)), pool


@st.composite
def set_lists(draw):
    """Two lists of sets, many of which differ in few elements; sizes of one element and of some hundred."""
    width = draw(st.sampled_from([4, 12, 40, 300]))
    few = st.sets(st.integers(0, width - 1), max_size=min(5, width))
    bases = [set(range(draw(st.integers(0, width - 1)), width)) for _ in range(2)]
    sets = few | st.builds(lambda base, changed: base ^ changed, st.sampled_from(bases), few)
    return *(draw(st.lists(sets.filter(bool), min_size=1, max_size=12)) for _ in range(2)), width


@given(text_lists())
def test_near_duplicates_are_those_of_the_definition(lists):
    texts, pool = lists
    assert near_duplicates(texts, pool).tolist() == [any(is_near(text, other) for other in pool) for text in texts]


@given(text_lists(), st.lists(st.integers(1, 5), min_size=4, max_size=4))
def test_near_duplicates_in_parts_are_those_of_the_definition(lists, sizes):
    texts, pool = lists
    with pytest.MonkeyPatch.context() as patch:
        for name, size in zip(("ASKED", "PART", "SIGNED", "READ"), sizes, strict=True):
            patch.setattr(module, name, size)
        found = near_duplicates([*texts, Unwritten("id")], [*pool, Unwritten("id")]).tolist()
    assert found == [*(any(is_near(text, other) for other in pool) for text in texts), False]


@given(set_lists(), st.fractions(Fraction(1, 20), 1, max_denominator=20), st.integers(0, 2**32 - 1))
def test_similar_sets_have_a_signature_in_common(lists, least, seed):
    """Whatever is taken to be rare, and elements by other names: the order of their hashes is any order."""
    few = np.random.default_rng(seed).integers(0, 3, signatures.BUCKETS)
    sides = []
    for side in lists[:2]:
        found, rows = signatures.of_sets(
            *signatures.hashed([{f"{seed} {element}" for element in one} for one in side]), least, few
        )
        sides.append([set(found[rows == row].tolist()) for row in range(len(side))])
    for one, mine in zip(lists[0], sides[0], strict=True):
        for other, theirs in zip(lists[1], sides[1], strict=True):
            assert mine & theirs or len(one & other) < least * len(one | other)


def test_few_texts_of_many_are_compared():
    generator = random.Random(5)
    texts, pool = ([" ".join(generator.choices(LEXICON, k=12)) for _ in range(2000)] for _ in range(2))
    texts[7] = pool[3].replace(pool[3][4], "", 1)
    likely = module._Likely(texts)
    assert pool[3] in likely.among(pool)
    assert 7 in (taken := likely.taken())
    assert len(taken) < 100
    assert not len(likely.taken())


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_that_differs_in_one_character_is_found_whatever_its_length(language):
    sentence, generator = SENTENCES[language], random.Random(0)
    letters = [letter for letter in sentence if letter.isalpha()]
    for length in (3, 4, 5, 7, 10, 14, 19, 25, 32, 38, 60, 90, len(sentence)):
        text, changed = sentence[:length], []
        if len("".join(words_of(text))) < 3:
            continue
        for place in range(len(text)):
            for letter in (generator.choice(letters), "中", "q", ".", ""):
                changed += [text[:place] + letter + text[place + after :] for after in (0, 1)]
        assert near_duplicates(changed, [text]).all()
        assert near_duplicates([text], changed[-1:]).all()


@given(st.data())
def test_one_changed_character_is_found_where_tokens_take_over_from_edits(data):
    words = [letter + other for letter in "abcdefghij" for other in "中0文2"]
    chosen = data.draw(st.lists(st.sampled_from([*words, "ab", "q", "中文", "字", "ก"]), min_size=8, max_size=40))
    text = data.draw(st.sampled_from(["", " "])).join(chosen)
    changed = data.draw(edited(st.just(text)))
    assert near_duplicates([changed], [text]).all()


def test_a_changed_character_that_parts_pairs_of_characters_is_found_at_every_length():
    """It takes away two tokens and adds three, the most of all changes."""
    words = [f"word{number}" for number in range(40)]
    for length in range(40):
        text, other = (" ".join([*words[:length], last]) for last in ("中字文", "中q文"))
        assert near_duplicates([text, other], [other]).all()
        assert near_duplicates([other], [text]).all()


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("un café à Orléans", unicodedata.normalize("NFD", "un café à Orléans")),
        ("각하 한글", unicodedata.normalize("NFD", "각하 한글")),
        ("ガギグ", unicodedata.normalize("NFD", "ガギグ")),
        ("ガギグ", "ｶﾞｷﾞｸﾞ"),
        ("ABC 123", "ａｂｃ １２３"),
        ("ภาษา ไทย", "ภาษา\u200bไทย"),
        ("می‌خواهم بروم", "میخواهم بروم"),
        ("co\u00adoperate", "cooperate"),
        ("l'été", "L’ÉTÉ!"),
        ("don´t go", "don't go"),
        ("我 喜欢 红茶。", "我喜欢红茶"),
        ("❤️", "❤"),
    ],
)
def test_texts_that_look_the_same_are_the_same(text, other):
    assert near_duplicates([text, other], [other]).all()
    assert near_duplicates([other, text], [text]).all()


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("茶", "酒", False),
        ("红茶", "绿茶", False),
        ("茶", "红茶", False),
        ("红茶", "喝红茶", True),
        ("a b", "ab", True),
        ("!!!", "!!", False),
        ("!!!", "!!!", True),
        ("?!", "a", False),
        ("😀😀😀", "😀😀🙁", False),
        ("😀 !", " 😀  ! ", True),
        ("", "", True),
        ("", "abc", False),
        ("我喜欢红茶", "他讨厌绿茶", False),
        ("one two three four five", "one two three four six", False),
        ("one two three four five six seven eight nine", "one two three four five six seven eight ten", True),
    ],
)
def test_what_few_characters_mean(text, other, expected):
    assert near_duplicates([text], [other]).tolist() == [expected] == [is_near(text, other)]


def test_vowel_signs_make_words():
    """Without them the Hindi words are the same consonants, and so are the Arabic ones."""
    assert not near_duplicates(["की का", "كَتَبَ عِلْم"], ["कु के", "كُتِبَ عَلَم"]).any()


def test_nothing_has_no_near_duplicates():
    assert near_duplicates([], ["a"]).shape == (0,)
    assert near_duplicates(["a", "!"], []).tolist() == [False, False]


def rows(sets, width):
    indices = [element for one in sets for element in sorted(one)]
    ends = np.cumsum([0, *map(len, sets)])
    return csr_array((np.ones(len(indices), dtype=np.int64), indices, ends), shape=(len(sets), width))


@given(set_lists(), st.sampled_from([1, 60, 2**21]), st.fractions(Fraction(1, 20), 1, max_denominator=20))
def test_similar_sets_are_found_exactly_at_every_threshold_and_block(lists, block, least):
    queries, pool, width = lists
    expected = [any(len(one & other) >= least * len(one | other) for other in pool) for one in queries]
    assert similar_sets(rows(queries, width), rows(pool, width), least, block).tolist() == expected


@given(st.lists(st.text("ab", max_size=5)), st.lists(st.text("ab", max_size=5)), st.sampled_from([1, 20, 2**20]))
def test_one_edit_is_found_in_every_block(texts, pool, block):
    def match(text, other):
        return text == other or (max(len(text), len(other)) >= 3 and one_edit(text, other))

    assert within_one_edit(texts, pool, block).tolist() == [any(match(text, other) for other in pool) for text in texts]


@given(st.data(), st.sampled_from([10, 2**20]))
def test_one_edit_is_found_wherever_it_is_among_texts_that_share_their_halves(data, block):
    halves = st.text("abc", min_size=1, max_size=7)
    parts = st.sampled_from(data.draw(st.lists(halves, min_size=1, max_size=3)))
    pool = data.draw(st.lists(st.builds(str.__add__, parts, parts), min_size=1, max_size=6))
    asked = edited(st.sampled_from(pool)) | edited(edited(st.sampled_from(pool))) | st.builds(str.__add__, parts, parts)
    texts = data.draw(st.lists(asked, max_size=8))

    def match(text, other):
        return text == other or (max(len(text), len(other)) >= 3 and one_edit(text, other))

    assert within_one_edit(texts, pool, block).tolist() == [any(match(text, other) for other in pool) for text in texts]


def test_hashes_tell_all_short_strings_apart():
    texts = ["".join(letters) for length in (3, 4) for letters in itertools.product("abcdef", repeat=length)]
    for pool in (["abc"], ["fade"], ["beef", "cab"]):
        expected = [any(text == other or one_edit(text, other) for other in pool) for text in texts]
        assert within_one_edit(texts, pool).tolist() == expected


@pytest.fixture(scope="module")
def glosses():
    return [item.text for item in read_corpus(ROOT / "benchmark" / "smollm2-mpnet" / "corpus.jsonl")]


@pytest.mark.parametrize("least", [Fraction(1, 10), Fraction(3, 10), Fraction(3, 5)])
def test_similar_sets_are_those_of_a_dense_product(glosses, least):
    counts = csr_array(CountVectorizer(binary=True, token_pattern=r"(?u)\w+").fit_transform(glosses[::2]))
    queries, pool = counts[:500], counts[500:]
    shared = (queries @ pool.T).toarray()
    union = queries.sum(axis=1)[:, None] + pool.sum(axis=1) - shared
    expected = (shared * least.denominator >= union * least.numerator).any(axis=1)
    assert expected.any()
    np.testing.assert_array_equal(similar_sets(queries, pool, least), expected)


def test_no_near_duplicates_are_on_both_sides_of_a_split():
    labels = [f"group {i % 12}" for i in range(240)]
    held_out, generator = held_out_labels(labels), random.Random(1)
    texts = []
    for sentence in itertools.islice(itertools.cycle(SENTENCES.values()), 120):
        texts += ["".join(generator.sample(sentence, generator.randint(4, 20))) for _ in range(2)]
        if generator.random() < 0.5:
            place = generator.randrange(1, 4)
            texts[-1] = texts[-2][:place] + generator.choice("们のก가q") + texts[-2][place + 1 :]
    split = split_holdout(texts, labels)
    train, test = ([texts[row] for row in side] for side in (split.train, split.test))
    assert test
    assert not any(is_near(text, other) for text in test for other in train)
    excluded = [texts[row] for row in split.near_duplicates]
    assert len(excluded) > 5
    assert all(any(is_near(text, other) for other in train) for text in excluded)
    assert len(test) + len(excluded) == sum(label in held_out for label in labels)


WORDS = [f"w{i}" for i in range(40)]
CORPORA = {
    "one template": lambda i: f"package {i} of the series foo",
    "one long template": lambda i: " ".join([*WORDS[:15], str(i)]),
    "stop words": lambda i: " ".join(random.Random(i).sample(WORDS, 8 + i % 8)),
    "equal texts": lambda _: "the same text",
}


@pytest.mark.parametrize("kind", CORPORA)
def test_memory_stays_below_a_matrix_of_all_pairs(kind):
    queries, pool = ([CORPORA[kind](i) for i in numbers] for numbers in (range(10_000, 12_000), range(12_000, 20_000)))
    near_duplicates(["a"], ["b"])  # imports
    tracemalloc.start()
    try:
        near = near_duplicates(queries, pool)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert near.all() or kind == "stop words"
    assert peak < 8 * len(queries) * len(pool)


def test_texts_of_a_megabyte_are_compared():
    word, han = "ab" * 500_000, "".join(chr(0x4E00 + i % 3_000) for i in range(350_000))
    numbers = " ".join(map(str, range(100_000, 120_000))) * 8
    changed = [word[:-3] + "x" + word[-2:], han[:9] + "x" + han[10:], numbers + " more", "ba" * 499_999]
    assert near_duplicates(changed, [word, han, numbers]).tolist() == [True, True, True, False]
