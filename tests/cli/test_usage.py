"""Help, exit codes, one-line errors, Ctrl-C, closed pipes, start-up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

COMMANDS = (
    "accuracy",
    "compare",
    "diagnose",
    "evaluate",
    "export",
    "init",
    "parts",
    "pick",
    "presets",
    "report",
    "reproduce",
    "runs",
    "search",
    "solve",
    "sweep",
    "trace",
    "validate",
)


def test_help_lists_every_command(xpert: Callable) -> None:
    outcome = xpert("--help")
    assert outcome.code == 0
    assert outcome.stderr == ""
    for command in COMMANDS:
        assert f" {command} " in outcome.stdout
    assert xpert().stdout == outcome.stdout
    assert xpert("-h").stdout == outcome.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text_with_an_example(xpert: Callable, command: str) -> None:
    outcome = xpert(command, "--help")
    assert outcome.code == 0
    assert outcome.stderr == ""
    assert "Example" in outcome.stdout
    assert f"xpert {command} " in outcome.stdout.split("Example")[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str, tmp_path: Path) -> None:
    def answered(**variables: str) -> str:
        environment = os.environ | {"HOME": str(tmp_path)} | variables
        return subprocess.run(command(), capture_output=True, text=True, env=environment, check=True).stdout

    script = answered(_XPERT_COMPLETE=f"source_{shell}")
    assert f"complete_{shell}" in script
    words = {
        "bash": {"COMP_WORDS": "xpert pi", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "xpert pi"},
        "fish": {"_TYPER_COMPLETE_ARGS": "xpert pi", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    assert "pick" in answered(_XPERT_COMPLETE=f"complete_{shell}", **words)
    words = {name: value.replace("xpert pi", "xpert pick --acc").replace("1", "2") for name, value in words.items()}
    assert "--accuracy-above" in answered(_XPERT_COMPLETE=f"complete_{shell}", **words)


def test_version(xpert: Callable) -> None:
    from xpert import __version__

    assert xpert("--version").stdout == f"xpert {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense' (see xpert --help)"),
        (["serch"], "No such command 'serch'. Did you mean 'search'? (see xpert --help)"),
        (["--nonsense"], "No such option: --nonsense (see xpert --help)"),
        (["evaluate"], "Missing argument 'DESIGN.json|CONFIG.yaml|SOURCE' (see xpert evaluate --help)"),
        (["evaluate", "a", "b"], "Got unexpected extra argument(s) (b) (see xpert evaluate --help)"),
        (["evaluate", "a", "--switches", "odd"], "Invalid value for '--switches': 'odd' is not one of"),
        (["evaluate", "a", "--csv"], "Option '--csv' requires an argument"),
        (["evaluate", "no.json"], "no.json: no such design or config file"),
        (["evaluate", "."], ".: is a folder, not a design or config file"),
        (["accuracy", "no.json"], "Missing option '--dataset'"),
        (["accuracy", "no.json", "--weights", "w", "--dataset", "digits"], "no.json: no such design or config file"),
        (["accuracy", "a", "--weights", "w", "--dataset", "digits", "--chips", "0"], "Invalid value for '--chips': "),
        (["compare", "no.json"], "compare: needs at least two designs, got 1"),
        (["compare", "no.json", "other.json"], "no.json: no such design or config file"),
        (["solve", "no.json"], "no.json: no such problem file"),
        (
            ["solve", "no.json", "--strategy", "luck"],
            "strategy: must be one of exact, gradient, evolution, random, got 'luck'",
        ),
        (["solve", "no.json", "--seconds", "soon"], "Invalid value for '--seconds': Input should be a valid number"),
        (["solve", "no.json", "--seconds", "-1"], "Invalid value for '--seconds': Input should be greater than"),
        (["solve", "no.json", "--seconds", "nan"], "Invalid value for '--seconds': Input should be greater than"),
        (["validate", "no.jsonl.gz"], "no.jsonl.gz: no such"),
        (["validate", "no.jsonl.gz", "--tolerance", "tight"], "Invalid value for '--tolerance': Input should be"),
        (["report", "none"], "none: no such folder; expected a run folder"),
        (["parts", "none"], "part: must be one of murmann-flash-best, murmann-flash-median, "),
        (["presets", "none"], "preset: must be one of cifar10-vgg16, quickstart, got 'none'"),
        (["init", "--preset", "none"], "preset: must be one of cifar10-vgg16, quickstart, got 'none'"),
        (["init", "no/folder/x.yaml"], "no/folder/x.yaml: cannot write: No such file or directory"),
        (["search"], "--out: required: the run folder"),
        (["search", "--out", "r"], "nothing to search: give a config file, or --preset NAME"),
        (["search", "--out", "r", "--preset", "none"], "preset: must be one of cifar10-vgg16, quickstart, got 'none'"),
        (["search", "no.yaml", "--out", "r"], "no.yaml: no such config file"),
        (["search", "no.yaml", "--preset", "quickstart", "--out", "r"], "give a config file or --preset, not both"),
        (["search", "--out", "r", "--resume"], "r: no run folder (it has no config.yaml)"),
        (
            ["search", "--preset", "quickstart", "--out", "r", "--seed", "-1"],
            "Invalid value for '--seed': Input should",
        ),
        (
            ["search", "--preset", "quickstart", "--out", "r", "--seed", "one"],
            "Invalid value for '--seed': Input should",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_one_line(
    refusal: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(*arguments).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_process_gives_the_same_answers(process: Callable, tmp_path: Path) -> None:
    outcome = process("evaluate", "no.json", cwd=tmp_path)
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert outcome.stderr == "xpert: error: no.json: no such design or config file\n"
    assert process("presets").code == 0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "xpert", *arguments]


@pytest.mark.parametrize("arguments", [["--help"], ["presets", "quickstart"]], ids=" ".join)
def test_a_reader_that_leaves_is_no_error(arguments: list[str]) -> None:
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["presets", "quickstart"]], ids=" ".join)
def test_a_full_disk_under_stdout_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("xpert: error: ")
    assert done.stderr.endswith("No space left on device\n")
    assert done.stderr.count("\n") == 1


def test_names_that_a_terminal_cannot_show(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "100"}
    done = subprocess.run(command("evaluate", "µ.json"), capture_output=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert done.stderr == b"xpert: error: \\xb5.json: no such design or config file\n"
    assert subprocess.run(command("--help"), capture_output=True, env=environment).returncode == 0


@pytest.mark.parametrize("delay", [0.1, 0.2, 0.4])
def test_ctrl_c_while_importing_is_one_line(delay: float, interruptible: Callable) -> None:
    # From its first own statement on; before that the interpreter itself is still starting.
    code = "import sys, xpert.cli; print(flush=True); sys.exit(xpert.cli.main(['solve', '/dev/stdin']))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "xpert: interrupted\n"
    assert process.returncode == 130


def modules_after(*arguments: str) -> set[str]:
    """What a command has imported when it ends."""
    code = "import sys; from xpert.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "scipy", "plotly", "sklearn", "pymoo"}
    assert not heavy & modules_after("--help")
    assert not heavy & modules_after("evaluate", "--help")
    assert not heavy & modules_after("presets")


def test_evaluate_imports_no_torch(design_file: Path, tmp_path: Path) -> None:
    heavy = {"torch", "plotly", "sklearn", "pymoo", "matplotlib"}
    assert not heavy & modules_after("evaluate", str(design_file), "--json")
    (tmp_path / "config.yaml").write_text(subprocess.check_output(command("presets", "quickstart"), text=True))
    assert not heavy & modules_after("evaluate", str(tmp_path / "config.yaml"), "--sweep", "rows=64,128")
    assert not heavy & modules_after("compare", str(design_file), str(design_file), "--json")
