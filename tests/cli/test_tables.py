import pytest

from lilnetx_cli.cli.tables import aligned, shortened, wrapped

ROWS = [("layer1.0.conv1.weight", "16x16", "383"), ("fc.weight", "10x64", "1,041")]


def test_columns_are_aligned_and_titles_stand_at_the_bottom():
    assert aligned(("name", "shape", "of the\nfile"), ROWS).splitlines() == [
        "                              of the",
        "name                   shape    file",
        "layer1.0.conv1.weight  16x16     383",
        "fc.weight              10x64   1,041",
    ]


def test_a_narrow_terminal_loses_columns_before_names_become_short():
    text = aligned(("name", "shape", "bytes"), ROWS, width=30, optional=1)
    assert text.splitlines()[1] == "layer1.0.conv1.weight  16x16"
    text = aligned(("name", "shape", "bytes"), ROWS, width=24, optional=1)
    assert text.splitlines()[1] == "layer1.....weight  16x16"


@pytest.mark.parametrize(
    ("text", "room", "cut"),
    [("abcdefghij", 10, "abcdefghij"), ("abcdefghij", 9, "abc...hij"),
     ("abcdefghij", 8, "ab...hij"), ("abcdefghij", 5, "a...j"),
     ("abcdefghij", 3, "abc"), ("abcdefghij", 0, "")],
)  # fmt: skip
def test_texts_are_cut_in_their_middle(text, room, cut):
    assert shortened(text, room) == cut


def test_lines_break_between_words_alone():
    line = "  training: accuracy 0.98, dataset /a/path/that/does/not/break"
    assert wrapped(line, 27).splitlines() == [
        "  training: accuracy 0.98,",
        "    dataset",
        "    /a/path/that/does/not/break",
    ]
    assert wrapped(line, None) == line
    assert wrapped("a b c", 3, indent=1) == "a b\n c"
