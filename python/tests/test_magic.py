"""``%%aent`` in IPython: cells that are files, findings in place, and completion."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput, capture_output

import aent


@pytest.fixture(scope="module")
def shell():
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "aent")
    yield made
    InteractiveShell.clear_instance()


def run(shell, cell: str) -> list[RichOutput]:
    with capture_output() as captured:
        shell.run_cell(cell).raise_error()
    return captured.outputs


def complete(shell, text: str, before_end: int = 0) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text, len(text) - before_end)]


def test_a_cell_makes_a_program_of_its_name(shell) -> None:
    (shown,) = run(shell, "%%aent program --set eps=10%\nparam eps = 0.2\nloss = token_mean(clip_ppo(low = eps))\n")
    program = shell.user_ns["program"]
    assert isinstance(program, aent.Program)
    assert program.params == {"eps": 0.1}
    assert "<th>reads</th><td>actions, advantages, logits" in shown.data["text/html"]
    assert "eps = 0.1" in shown.data["text/html"]


def test_findings_are_shown_in_place_of_a_traceback(shell) -> None:
    (shown,) = run(shell, "%%aent broken\nloss = token_mean(clip_po())\n")
    assert "did you mean `clip_ppo`?" in shown.data["text/html"]
    assert shown.data["text/plain"].startswith("error[unknown-name]")
    assert "broken" not in shell.user_ns
    lint, table = run(shell, "%%aent odd\nloss = token_mean(clip_ppo()) + 0.1 * token_mean(entropy())\n")
    assert "entropy-sign" in lint.data["text/plain"]
    assert "<table" in table.data["text/html"]
    (clean,) = run(shell, "%%aent\nloss = token_mean(clip_ppo())\n")
    assert clean.data["text/plain"] == "nothing to complain of"


def test_wrong_arguments_are_named(shell) -> None:
    for line, words in (("--set eps program", "NAME=VALUE"), ("1a", "the name of a variable")):
        result = shell.run_cell(f"%%aent {line}\nloss = token_mean(clip_ppo())\n")
        assert words in str(result.error_in_exec)


def test_names_are_completed_in_such_cells_alone(shell) -> None:
    assert "clip_ppo" in complete(shell, "%%aent p\nlet policy = clip_p")
    assert "low = " in complete(shell, "%%aent p\nlet policy = clip_ppo(lo")
    assert "high = " in complete(shell, "%%aent p\nlet policy = clip_ppo(low = min(a, 1), hi")
    found = complete(shell, "%%aent p\nlet mine = clip_ppo()\nloss = token_mean(min")
    assert {"min", "mine"} <= set(found) and all(name.startswith("min") for name in found)
    assert complete(shell, "%%aent p\nmet") == ["metric"]
    assert "clip_ppo" not in complete(shell, "%%aent p\n# clip_p")
    assert "print" in complete(shell, "pri")
    assert "clip_ppo" not in complete(shell, "clip_p")
    assert "clip_ppo" not in complete(shell, "%%aent clip_p")


def test_completion_is_that_of_an_editor(shell) -> None:
    # After a dot, a completion replaces the extra and keeps the name before it.
    text = "%%aent p\n# β 🙂\nmetric m = token_mean(clip_ppo().cl"
    with provisionalcompleter():
        (found,) = shell.Completer.completions(text, len(text))
    assert (text[: found.start] + found.text, found.type) == (text + "ipped", "property")
    # Files, choices, kinds of controllers and words, each where it can stand.
    assert "std/kl.aent" in complete(shell, '%%aent p\nimport "std/k"', before_end=1)
    assert 'std/kl.aent"' in complete(shell, '%%aent p\nimport "std/k')
    assert complete(shell, "%%aent p\ncontroller beta = ban") == ["band"]
    assert set(complete(shell, "%%aent p\ninput x: se")) == {"seq"}
    # What is defined below does not exist yet.
    below = "\nlet later = 1"
    assert "later" not in complete(shell, f"%%aent p\nlet early = lat{below}", before_end=len(below))
    assert "later" in complete(shell, f"%%aent p{below}\nlet early = lat")


def test_places_are_characters() -> None:
    cell = "# β 🙂\nlet policy = clip_p\nloss = token_mean(policy)"
    place = cell.index("clip_p") + len("clip_p")
    start, found = aent._aent.complete(cell, place)
    assert cell[start:place] == "clip_p"
    assert ("clip_ppo", "function") in found
    assert aent._aent.complete("", 99)[0] == 0
