"""What may go from DVC's cache: nothing that `dvc gc` keeps, and nothing that Git or a signature still leads to."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.lineage.cleaning.gc import Garbage, Unreached, find_garbage, remove_garbage
from flows.lineage.cleaning.reached import is_statement, objects
from flows.lineage.signing.keys import new_key
from flows.lineage.signing.signature import sign
from flows.lineage.verbs.gc import as_text
from flows.processes.locks import stage_lock
from flows.processes.run_lock import run_lock
from flows.repository import cache_folder
from tasks.core.errors import GoodfitError
from tests.conftest import Project

pytestmark = pytest.mark.slow

SCRIPT = """
import hashlib, json, os, sys
value = open("params.yaml").read().partition("value: ")[2].strip()
os.makedirs("out/folder", exist_ok=True)
os.makedirs("lineage", exist_ok=True)
open("out/model.txt", "w").write("model " + value)
for part in "ab":
    open(f"out/folder/{part}.txt", "w").write(f"part {part} {value}")
external = {"stage": "make", "command": "python make.py", "parameters": {"value": value}}
names = ["out/model.txt", "out/folder/a.txt", "out/folder/b.txt"]
digests = {name: hashlib.md5(open(name, "rb").read()).hexdigest() for name in names}
subject = [{"name": name, "digest": {"md5": digest, "sha256": ""}} for name, digest in digests.items()]
definition = {"externalParameters": external, "internalParameters": {}, "resolvedDependencies": []}
statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": "https://slsa.dev/provenance/v1",
             "predicate": {"buildDefinition": definition}}
json.dump(statement, open("lineage/make.json", "w"), indent=2)
"""
PIPELINE = """
stages:
  make:
    cmd: python make.py
    deps: [make.py]
    params: [value]
    outs: [out/model.txt, out/folder, lineage/make.json]
"""
OBJECTS = 5  # of a run: the model, two parts, their list, the statement


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("made"))
    for name, text in {"make.py": SCRIPT, "dvc.yaml": PIPELINE, "params.yaml": "value: 0\n"}.items():
        (project.root / name).write_text(text)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    run(project, 0)
    commit(project, "Zero")
    return project


@pytest.fixture
def made(_made: Project, tmp_path: Path) -> Project:
    """A stage that was run once and committed."""
    return Project(Path(shutil.copytree(_made.root, tmp_path / "made", symlinks=True)))


def run(project: Project, value: int) -> None:
    (project.root / "params.yaml").write_text(f"value: {value}\n")
    project.run("dvc", "repro", "-q")


def commit(project: Project, message: str) -> str:
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", message)
    return project.run("git", "rev-parse", "HEAD").stdout.strip()


def back(project: Project) -> None:
    """To what is committed; the run's objects stay in the cache."""
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "-q", "--force")


def names(project: Project, *, reflogs: bool = True) -> list[str]:
    return sorted({name for one in find_garbage(project.root, reflogs=reflogs).objects for name in one.names})


def test_what_was_run_and_not_recorded_is_named_with_its_claims_and_removed(made: Project) -> None:
    """Only DVC's run-cache knows of it, and the statement in the cache."""
    kept = objects(cache_folder(made.root))
    run(made, 1)
    back(made)
    done = made.run("goodfit", "lineage", "gc", "--dry-run")
    assert done.stdout.startswith(f"{OBJECTS} objects (")
    for words in ("  out/folder/a.txt\n", "  out/model.txt\n", "  python make.py: out/model.txt, says DVC's run-cache\n"):
        assert words in done.stdout
    assert "make: out/folder/b.txt, says a statement in DVC's cache" in done.stdout
    assert "make: lineage/make.json, says a statement in DVC's cache" in done.stdout
    assert done.stdout.endswith("nothing was removed\n")
    assert len(objects(cache_folder(made.root))) == 2 * OBJECTS

    assert made.run("goodfit", "lineage", "gc", "--force").stdout.endswith(f"removed {OBJECTS} objects\n")
    assert objects(cache_folder(made.root)) == kept
    assert made.run("goodfit", "lineage", "gc").stdout.startswith(f"nothing to remove: something reaches each of the {OBJECTS}")
    assert made.is_clean()


@pytest.mark.parametrize(
    "place", ["working tree", "branch", "tag", "stash", "experiment", "amended", "staged", "merged away", "detached"]
)
def test_what_anything_leads_to_is_kept(made: Project, place: str) -> None:
    first = made.run("git", "rev-parse", "--abbrev-ref", "HEAD").stdout.strip()
    if place == "experiment":
        made.run("dvc", "exp", "run", "-q", "--name", "one", "-S", "value=1")
    else:
        run(made, 1)
    match place:
        case "branch" | "tag" | "merged away":
            made.run("git", "checkout", "-q", "-b", "other")
            commit(made, "One")
            made.run("git", "checkout", "-q", first)
            if place == "tag":
                made.run("git", "tag", "-a", "-m", "One", "v1", "other")
                made.run("git", "branch", "-q", "-D", "other")
            if place == "merged away":
                made.run("git", "merge", "-q", "-s", "ours", "-m", "Keep ours", "other")
                made.run("git", "branch", "-q", "-D", "other")
        case "stash":
            made.run("git", "stash", "-q")
        case "amended" | "detached":
            commit(made, "One")
            made.run("git", "reset", "-q", "--hard", "HEAD~1")
        case "staged":
            made.run("git", "add", "dvc.lock")
            made.run("git", "restore", "-q", "dvc.lock", "--source", "HEAD", "--worktree")
    if place not in ("working tree", "staged"):
        back(made)
    assert names(made) == []
    in_a_reflog_alone = place in ("amended", "detached")
    assert bool(names(made, reflogs=False)) == in_a_reflog_alone


def test_every_stash_and_queued_experiment_is_kept(made: Project) -> None:
    """Git keeps all but the newest stash in a reflog, and DVC its queue: they count without other reflogs, too."""
    for value in (1, 2):
        run(made, value)
        made.run("git", "stash", "-q")
        made.run("dvc", "checkout", "-q", "--force")
    (made.root / "data.txt").write_text("queued")
    made.run("dvc", "add", "-q", "data.txt")
    made.run("git", "add", "-A")
    for value in (3, 4):
        made.run("dvc", "exp", "run", "-q", "--queue", "-S", f"value={value}")
    made.run("git", "reset", "-q", "--hard")
    assert [one.md5 for one in find_garbage(made.root, reflogs=False).objects] == []


def test_a_removed_experiment_is_named_by_its_commit(made: Project) -> None:
    made.run("dvc", "exp", "run", "-q", "--name", "one", "-S", "value=1")
    experiment = made.run("git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/one").stdout.strip()
    back(made)
    assert names(made) == []
    made.run("dvc", "exp", "remove", "-q", "one")
    assert names(made) == []  # HEAD's reflog still has its commit
    garbage = find_garbage(made.root, reflogs=False)
    said = " ".join(claim.by for one in garbage.objects for claim in one.claims)
    named = set(re.findall(r"commit (\w{7}), which nothing leads to any more", said))
    # DVC commits the experiment's files more than once: any of these commits tells what the objects were.
    assert named, said
    for commit in named:
        assert made.run("git", "diff", commit, experiment, "--", "dvc.lock").stdout == ""
    assert names(made, reflogs=False) == [
        "lineage/make.json",
        "out/folder",
        "out/folder/a.txt",
        "out/folder/b.txt",
        "out/model.txt",
    ]


def test_data_that_were_added_by_hand_are_kept_and_named_afterwards(made: Project) -> None:
    (made.root / "data").mkdir()
    (made.root / "data/points.txt").write_text("points")
    made.run("dvc", "add", "-q", "data/points.txt")
    assert names(made) == []
    shutil.rmtree(made.root / "data")
    (only,) = find_garbage(made.root).objects
    assert (only.size, only.names) == (len("points"), [])


def test_a_file_that_is_only_linked_to_is_kept(made: Project) -> None:
    made.run("dvc", "config", "cache.type", "symlink")
    run(made, 1)
    made.run("git", "checkout", "-q", "dvc.lock", "params.yaml")
    assert (made.root / "out/model.txt").is_symlink()
    assert "out/model.txt" not in names(made)


def test_what_a_signature_covers_is_kept(made: Project, tmp_path: Path) -> None:
    """The statement that was signed, and the outputs that it describes, though its dvc.lock was never committed."""
    run(made, 1)
    new_key(tmp_path / "key.pem", made.root)
    sign(made.root, tmp_path / "key.pem")
    back(made)
    (made.root / "other.dsse.json").write_text("[" * 100_000)  # no signature, and no reason to stop
    assert find_garbage(made.root).objects == []
    (made.root / "dvc.lock.dsse.json").unlink()
    assert len(find_garbage(made.root).objects) == OBJECTS


def test_nothing_that_dvc_keeps_is_removed(made: Project, tmp_path: Path) -> None:
    """Both on copies of a repository with some of everything."""
    for value in (1, 2):
        run(made, value)
        commit(made, f"Value {value}")
    made.run("git", "tag", "two")
    made.run("git", "checkout", "-q", "-b", "side", "HEAD~1")
    run(made, 3)
    commit(made, "Three")
    for value in (4, 5):
        made.run("dvc", "exp", "run", "-q", "--name", f"e{value}", "-S", f"value={value}")
    back(made)
    made.run("dvc", "exp", "remove", "-q", "e5")
    run(made, 6)
    made.run("git", "stash", "-q")
    made.run("dvc", "checkout", "-q", "--force")
    run(made, 7)
    back(made)
    (made.root / "data.txt").write_text("data")
    made.run("dvc", "add", "-q", "data.txt")

    theirs = Project(Path(shutil.copytree(made.root, tmp_path / "theirs", symlinks=True)))
    theirs.run("dvc", "gc", "-q", "--force", "--workspace", "--all-commits", "--all-experiments")
    ours = Project(Path(shutil.copytree(made.root, tmp_path / "ours", symlinks=True)))
    careful = remove_garbage(ours.root, find_garbage(ours.root))
    assert len(careful) == OBJECTS  # of the run that was not recorded
    removed = careful + remove_garbage(ours.root, find_garbage(ours.root, reflogs=False), reflogs=False)

    kept = {place: set(objects(cache_folder(one.root))) for place, one in (("ours", ours), ("theirs", theirs))}
    assert kept["theirs"] <= kept["ours"]
    assert len(kept["ours"] - kept["theirs"]) == OBJECTS  # those of the stash, which DVC does not look at
    assert len(removed) == 2 * OBJECTS  # of the removed experiment, and of the run that was not recorded
    runs = {
        place: sorted(file.name for file in (one.root / ".dvc/cache/runs").rglob("*"))
        for place, one in (("o", ours), ("t", theirs))
    }
    assert runs["o"] == runs["t"]
    for revision in ("HEAD", "two", "two~1", "two~2", "e4", "stash@{0}"):
        lock = ours.run("git", "show", f"{'refs/stash' if 'stash' in revision else resolved(ours, revision)}:dvc.lock").stdout
        (ours.root / "dvc.lock").write_text(lock)
        ours.run("dvc", "checkout", "-q", "--force")


def resolved(project: Project, revision: str) -> str:
    listed = project.run("git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{revision}").stdout.strip()
    return listed or revision


def test_a_lost_list_of_a_folder_is_told_and_the_statement_stands_in_for_it(made: Project) -> None:
    (listing,) = (file for md5, file in objects(cache_folder(made.root)).items() if md5.endswith(".dir"))
    listing.unlink()
    garbage = find_garbage(made.root)
    assert (len(garbage.lost), garbage.objects) == (1, [])
    (statement,) = (file for file in objects(cache_folder(made.root)).values() if is_statement(file))
    statement.unlink()
    assert len(find_garbage(made.root).objects) == 2
    assert "the lists of 1 recorded folders are not in the cache" in made.run("goodfit", "lineage", "gc", "-n").stdout


def test_it_is_refused_while_a_run_works_here(made: Project) -> None:
    with run_lock(made.root, [], print), pytest.raises(GoodfitError, match="a run of the pipeline is going on"):
        find_garbage(made.root)
    with stage_lock(made.root, "make", None, print), pytest.raises(GoodfitError, match="the stage make is running"):
        find_garbage(made.root)
    (made.root / "make.py").write_text("import time; print('begun', flush=True); time.sleep(60)")
    process = made.start("dvc", "repro")
    try:
        assert process.stdout is not None
        while "begun" not in process.stdout.readline():
            assert process.poll() is None
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            done = made.run("goodfit", "lineage", "gc", "--force", check=False)
            if "is at work" in done.stderr:
                break
        assert (done.returncode, "nothing was removed" in done.stderr) == (1, True), done.stderr
    finally:
        os.killpg(process.pid, 9)
        process.communicate()


def test_it_is_refused_while_an_experiment_runs_in_a_folder_of_its_own(made: Project) -> None:
    begun = made.root / "begun"
    (made.root / "make.py").write_text(
        "import pathlib, time; pathlib.Path('BEGUN').touch(); time.sleep(60)".replace("BEGUN", str(begun))
    )
    process = made.start("dvc", "exp", "run", "--temp")
    try:
        deadline = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.1)
        with pytest.raises(GoodfitError, match="is at work"):
            find_garbage(made.root)
    finally:
        os.killpg(process.pid, 9)
        process.communicate()


def test_it_is_refused_where_it_cannot_know(made: Project, tmp_path: Path) -> None:
    run(made, 1)
    commit(made, "One")
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{made.root}", str(tmp_path / "shallow")], check=True)
    with pytest.raises(GoodfitError, match="this clone is shallow"):
        find_garbage(tmp_path / "shallow")
    made.run("dvc", "cache", "dir", "--local", str(tmp_path / "shared"))
    with pytest.raises(GoodfitError, match="lies outside of the repository, and others may share it"):
        find_garbage(made.root)


def test_without_a_terminal_it_does_not_remove_unasked(made: Project) -> None:
    run(made, 1)
    back(made)
    done = made.run("goodfit", "lineage", "gc", check=False)
    assert done.returncode == 1
    assert "there is no terminal to ask" in done.stderr
    assert made.run("goodfit", "lineage", "gc", "--json", check=False).returncode == 2
    assert len(json.loads(made.run("goodfit", "lineage", "gc", "--json", "-n").stdout)["objects"]) == OBJECTS
    assert len(objects(cache_folder(made.root))) == 2 * OBJECTS


def test_one_object_is_spoken_of_as_one() -> None:
    garbage = Garbage([Unreached("a" * 32, 2, [], [])], 1, [])
    assert as_text(garbage).splitlines()[0] == "1 object (2 bytes) is reached by nothing; 1 is kept:"


@pytest.mark.parametrize(("answer", "left"), [("n", 2 * OBJECTS), ("", 2 * OBJECTS), ("y", OBJECTS)])
def test_it_asks(made: Project, answer: str, left: int) -> None:
    run(made, 1)
    back(made)
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "flows.cli", "lineage", "gc"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[4])}
    process = subprocess.Popen(command, cwd=made.root, stdin=terminal, stdout=subprocess.PIPE, text=True, env=environment)
    os.write(controller, f"{answer}\n".encode())
    printed, _ = process.communicate(timeout=60)
    assert f"remove these {OBJECTS} objects for good? [y/N]" in printed
    assert len(objects(cache_folder(made.root))) == left
    for end in (controller, terminal):
        os.close(end)


@pytest.mark.parametrize(
    ("key", "code", "message"),
    [("Ctrl-C", 130, "interrupted\n"), ("Ctrl-D", 1, "\nerror: nothing was done: the question was not answered\n")],
)
def test_who_does_not_answer_gets_no_traceback(made: Project, key: str, code: int, message: str) -> None:
    run(made, 1)
    back(made)
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "flows.cli", "lineage", "gc"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[4])}
    with subprocess.Popen(
        command,
        cwd=made.root,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout
        asked = ""
        while not asked.endswith("[y/N] "):
            asked += process.stdout.read(1)
        if key == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        else:
            os.write(controller, b"\x04")
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, message)
    assert len(objects(cache_folder(made.root))) == 2 * OBJECTS
    for end in (controller, terminal):
        os.close(end)


def test_what_was_reached_in_the_meantime_stays(made: Project) -> None:
    run(made, 1)
    back(made)
    garbage = find_garbage(made.root)
    run(made, 1)  # restored from the run-cache, and recorded again
    assert remove_garbage(made.root, garbage) == []
    assert made.is_clean()
