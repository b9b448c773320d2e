"""What --help, -v and -q say."""

import re

import pytest
import typer

from lilnetx_cli.cli.app import app, complete
from lilnetx_cli.config import all_settings

VERBS = [command.callback.__name__ for command in app.registered_commands]
# Options that do something when given, and nothing when not.
FLAG = re.compile(r"^ +(-\w, )?--[a-z-]+ {2,}")


def options_of(text):
    """Return the options of a help text, each with all its words on one line."""
    options = []
    for line in text.partition("Options:\n")[2].splitlines():
        if line.startswith("  -"):
            options.append(line)
        else:
            options[-1] += " " + line.strip()
    return options


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_that_takes_a_value_says_its_default(here, verb):
    options = options_of(here(verb, "--help").out)
    assert len(options) >= 4
    for option in options:
        assert FLAG.match(option) or option.count("[default: ") == 1, option


def test_defaults_and_choices_are_those_of_the_configuration(here):
    options = {
        re.search(r"--([a-z-]+)", option)[1]: option
        for option in options_of(here("train", "--help").out)
    }
    settings = all_settings()
    for name, key in (
        ("model", "model.name"),
        ("dataset", "data.name"),
        ("epochs", "train.epochs"),
        ("batch-size", "train.batch_size"),
        ("lr", "train.lr"),
        ("rate-weight", "loss.rate_weight"),
        ("slice-weight", "loss.slice_weight"),
        ("seed", "train.seed"),
        ("workers", "data.workers"),
        ("accumulate", "train.accumulate"),
        ("device", "train.device"),
        ("precision", "train.precision"),
    ):
        assert f"[default: {settings[key].default}]" in options[name]
        assert "|".join(settings[key].choices) in options[name]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_quiet_or_verbose(here, verb):
    text = here(verb, "--help").out
    assert "-q, --quiet" in text
    assert "-v, --verbose" in text
    assert "--json" in text


def test_verbose_says_what_is_done_and_when(here, trained, tmp_path):
    out = tmp_path / "out.pt"
    done = here("decompress", trained / "model.lnx", "-o", out, "-v", "--json")
    assert done.json["output"] == str(out)
    lines = done.err.splitlines()
    assert len(lines) >= 2
    assert all(re.match(r"\[ *\d+\.\d\d s\] ", line) for line in lines)
    assert f"wrote {out}" in lines[-1]
    assert here("decompress", trained / "model.lnx", "-o", out, "-f", "-q").err == ""


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["train", "--resume"], ["train", "--resume", "auto"]),
        (["train", "--resume", "-o", "x"], ["train", "--resume", "auto", "-o", "x"]),
        (["train", "--resume", "x.pt"], ["train", "--resume", "x.pt"]),
        (["train", "--resume=x.pt"], ["train", "--resume=x.pt"]),
        (["train", "-o", "x"], ["train", "-o", "x"]),
        ([], []),
    ],
)
def test_resume_may_stand_alone(given, meant):
    assert complete(given) == meant


def test_texts_are_sentences():
    """Every option and every verb says what it does, in a sentence."""
    for command in typer.main.get_command(app).commands.values():
        for text in (command.help, *(option.help for option in command.params)):
            assert text[0].isupper() or text.startswith("."), text
            assert text.rstrip()[-1] in ".", text
