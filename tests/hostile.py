"""Hypothesis strategies for hostile files: valid ones with something wrong at any place, not only random bytes."""

import copy
import json

from hypothesis import strategies as st

HUGE = "9" * 5000
NESTED = "[" * 100_000
# What stands for a value where another is expected, as JSON or TOML has it; some are valid in one of them only.
VALUES = (
    *(
        "null",
        "true",
        "-1",
        "0",
        "1.5",
        "1e999",
        "-1e999",
        "NaN",
        "-Infinity",
        HUGE,
        "1e300",
        "nan",
        "inf",
        '""',
        '"x"',
    ),
    *(
        '"\\ud800"',
        '"\\u0000"',
        '"\\u202e"',
        "[]",
        "{}",
        "[[]]",
        '{"a": 1, "a": 2}',
        NESTED,
        '{"a":' * 50_000,
        "[null]",
    ),
    *('" "', '"' + "long " * 3000 + '"', "1979-05-27T07:32:00Z", "0x10", "'''a'''", "2e5", "1_000", "[1, 'a']"),
)
# What is put anywhere in a file.
PIECES = (
    *(b"\x00", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n", b'"', b"\\", b"{", b"}", b"[", b"]", b","),
    *(b"<<<<<<< HEAD\n", b"=======\n", b">>>>>>> other\n", b"\xc3\x28", b"\xed\xa0\x80", b"NaN", b"1e999", b"null"),
    *(b"\\ud800", b"a" * 5000, b"(" * 5000, b"a." * 3000 + b"b=1\n", HUGE.encode(), b"\t" * 300, b"\x1b[31m", b"="),
    *(b"![" * 5000, b"](" * 5000, b"[\n" * 3000, b"```\n" * 1000, b"2 " * 5000, b"''''", b'""""""', b"#"),
)


@st.composite
def mutated(draw, seeds, most=3):
    """One of the files `seeds`, bytes, with up to `most` faults: flipped, cut, doubled, spliced, or with more in it."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.integers(0, len(content)))
        end = min(len(content), place + draw(st.sampled_from([1, 2, 8, 64, 1000])))
        kind = draw(st.sampled_from(["flip", "cut", "double", "piece", "end", "splice", "byte"]))
        if kind == "flip" and place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and place < len(content):
            content[place] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == "cut":
            del content[place:end]
        elif kind == "double":
            content[place:place] = content[place:end]
        elif kind == "piece":
            content[place:place] = draw(st.sampled_from(PIECES))
        elif kind == "end":
            del content[place:]
        elif kind == "splice":
            other = draw(st.sampled_from(seeds))
            content[place:] = other[draw(st.integers(0, len(other))) :]
    return bytes(content)


def places(tree, path=()):
    """The path of every value in a JSON tree."""
    yield path
    members = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, member in members:
        yield from places(member, (*path, name))


def marked(tree, path, mark):
    """A copy of a JSON tree with a mark at a path; `None` as the mark removes the value."""
    if not path:
        return mark
    changed = copy.deepcopy(tree)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    if mark is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = mark
    return changed


@st.composite
def wrong_json(draw, trees):
    """One of the JSON `trees` as text with a value of another kind, without one, with an unknown or a doubled key."""
    tree = draw(st.sampled_from(trees))
    for _ in range(draw(st.integers(1, 2))):
        found = [path for path in places(tree) if len(path) < 6]
        path = draw(st.sampled_from(found))
        kind = draw(st.sampled_from(["value", "value", "value", "gone", "unknown"]))
        if kind == "gone":
            tree = marked(tree, path, None) if path else {}
        elif kind == "unknown":
            tree = marked(tree, (), {**tree, draw(st.text(max_size=20)): 1}) if isinstance(tree, dict) else tree
        else:
            tree = marked(tree, path, f"@@{draw(st.integers(0, len(VALUES) - 1))}@@")
        if not isinstance(tree, dict | list):
            break
    text = json.dumps(tree)
    for place, value in enumerate(VALUES):
        text = text.replace(f'"@@{place}@@"', value)
    if draw(st.integers(0, 9)) == 0 and text.startswith('{"'):  # its first key once more
        text = f"{text[:-1]}, {text[1 : text.index(':')]}: 1}}"
    return text.encode("utf-8", errors="surrogatepass")


def json_files(trees):
    """JSON that is wrong in form or in content."""
    return st.one_of(wrong_json(trees), mutated([json.dumps(tree).encode() for tree in trees]))


@st.composite
def lines(draw, trees):
    """A file of JSON lines, of which some are wrong."""
    right = st.sampled_from([json.dumps(tree).encode() for tree in trees])
    found = draw(st.lists(st.one_of(right, right, wrong_json(trees)), min_size=0, max_size=6))
    content = draw(st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"])).join(found)
    return content if draw(st.booleans()) or not content else draw(mutated([content], most=2))


@st.composite
def wrong_toml(draw, text):
    """A TOML file with values of another kind, in lines that were right."""
    found = text.split("\n")
    for place in draw(st.lists(st.integers(0, len(found) - 1), min_size=1, max_size=2)):
        name, sign, _ = found[place].partition("=")
        value = draw(st.sampled_from(VALUES))
        found[place] = f"{name}{sign} {value}" if sign else f"{found[place]}\n{draw(st.text(max_size=9))} = {value}"
    return "\n".join(found).encode("utf-8", errors="surrogatepass")


def toml_files(texts):
    """TOML that is wrong in form or in content."""
    return st.one_of(st.sampled_from(texts).flatmap(wrong_toml), mutated([text.encode() for text in texts]))


@st.composite
def tables(draw, rows, signs=("\t", " ", ",")):
    """A table of text, whose fields are of any kind, with a field too few or too many."""
    field = st.sampled_from(
        ["q1", "d1", "1", "0", "-1", "nan", "inf", "1e999", HUGE, "", '"', "x" * 3000, "\u202e", "\x00"]
    )
    sign = draw(st.sampled_from(signs))
    found = []
    for row in draw(st.lists(st.sampled_from(rows), max_size=6)):
        fields = list(row)
        if fields and draw(st.booleans()):
            fields[draw(st.integers(0, len(fields) - 1))] = draw(field)
        found.append(sign.join(fields[: draw(st.sampled_from([9, 9, 9, 2]))]))
    content = "\n".join(found).encode()
    return content if draw(st.booleans()) or not content else draw(mutated([content], most=2))
