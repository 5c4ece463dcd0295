"""Trials: a run, a fault at a random moment, then another run; and what must hold after it."""

import hashlib
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from flows.lineage.record import check_record
from flows.server import prefect_server
from tests.faults.faults import FAULTS, FLOW_SECONDS, ON_A_DISK, SECONDS, TOLD, Running, Skipped, disk_of_its_own
from tests.faults.world import OUTPUTS, World, build, command

BOUND_SECONDS = 5.0  # after its leader has gone, nothing of a run is left
Record = dict[str, bytes]


@dataclass
class Outcome:
    """What happened in one trial."""

    number: int
    fault: str
    door: str
    next_door: str
    did: str = ""
    skipped: str = ""  # why the fault was not done; the run went on, and what must hold after it was checked all the same
    doctor: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # the invariants that do not hold
    seconds: float = 0.0

    def __str__(self) -> str:
        mended = f"; doctor: {'; '.join(self.doctor)}" if self.doctor else ""
        passed = f"skipped, {self.skipped}" if self.skipped else "ok"
        verdict = "BROKEN: " + "; ".join(self.broken) if self.broken else passed
        doors = f"{self.door:>4} → {self.next_door:<4}"
        return f"{self.number:4} {self.fault:<28} {doors} {self.seconds:5.1f} s  {self.did}{mended}: {verdict}"


@dataclass
class Campaign:
    """Trials that start from the same repository; `seed` decides all that is random but the scheduler of the system."""

    folder: Path
    seed: int
    variables: dict[str, str] = field(default_factory=dict)
    doors: tuple[str, ...] = ("dvc", "gate")  # and `flow`, where PREFECT_API_URL is among the variables
    _expected: dict[str, Record] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.base = build(self.folder / "base", self.variables)

    def trial(self, number: int, fault: str | None = None) -> Outcome:
        """One trial; `fault` chooses it, else chance does."""
        chance = random.Random(f"{self.seed}-{number}")
        name = fault or chance.choice([name for name in FAULTS if name != "server gone" or "flow" in self.doors])
        outcome = Outcome(number, name, chance.choice(self.doors), chance.choice(self.doors))
        if name == "server gone":
            outcome.door, outcome.next_door = "flow", "dvc"
        begin = time.monotonic()
        folder = self.folder / f"trial-{number}"
        with disk_of_its_own(folder) if name in ON_A_DISK else nullcontext():
            world = World(Path(shutil.copytree(self.base.root, folder, symlinks=True, dirs_exist_ok=True)), self.variables)
            try:
                with _server_of_its_own(world) if name == "server gone" else nullcontext():
                    self._disturb(world, outcome, chance)
                self._check(world, outcome)
            finally:
                for process in world.processes():
                    process.kill()
        if not outcome.broken:
            shutil.rmtree(folder, ignore_errors=True)
        outcome.seconds = time.monotonic() - begin
        return outcome

    def _disturb(self, world: World, outcome: Outcome, chance: random.Random) -> None:
        """Start a run in which every stage has to run, and do the fault to it."""
        params = world.root / "params.yaml"
        params.write_text(params.read_text().replace("seed: 1", f"seed: {chance.randrange(2, 9)}"))
        log = world.root / ".dvc/tmp/fault.log"
        started: list[subprocess.Popen[bytes]] = []

        def another() -> str:
            door = chance.choice(self.doors)
            started.append(world.start(door, log))
            return f"started another run ({door})"

        leader = world.start(outcome.door, log)
        started.append(leader)
        moment = chance.uniform(0, FLOW_SECONDS if outcome.door == "flow" else SECONDS)
        time.sleep(moment)
        running = Running(world, leader, chance, another)
        outcome.did = f"after {moment:.2f} s"
        try:
            outcome.did += f": {FAULTS[outcome.fault](running)}"
        except Skipped as reason:
            outcome.skipped = str(reason)
        for process in started:
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                outcome.broken.append("the run did not end within 120 s")
                process.kill()
        for heal in running.healing:
            heal()
        deadline = time.monotonic() + BOUND_SECONDS
        while (left := world.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            outcome.broken.append(
                f"processes left {BOUND_SECONDS:g} s after the run: {[process.cmdline() for process in left]}"
            )

    def _check(self, world: World, outcome: Outcome) -> None:
        """The next run succeeds, with the doctor's help where the door is plain DVC, and ends as if nothing had happened."""
        done = world.run(*command(outcome.next_door))
        if done.returncode or (outcome.next_door == "dvc" and (leftovers(world) or check_record(world.root))):
            doctor = world.run("python", "-m", "flows.cli", "doctor")
            outcome.doctor = doctor.stdout.strip().splitlines() or [f"nothing (exit code {doctor.returncode})"]
            for advised in re.findall(r"`(dvc repro -f \w+)` runs it again", doctor.stdout):
                world.run(*advised.split())
            done = world.run(*command(outcome.next_door))
        if done.returncode:
            verified = world.run("python", "-m", "flows.cli", "lineage", "verify")
            if outcome.fault in TOLD and verified.returncode:
                return
            outcome.broken.append(f"the next run ends with {done.returncode}: {done.stdout.strip().splitlines()[-6:]}")
            return
        verified = world.run("python", "-m", "flows.cli", "lineage", "verify")
        expected, found = self._undisturbed(world), world.record()
        differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        if outcome.fault in TOLD and verified.returncode:
            return  # the damage is told
        if differing:
            outcome.broken.append(f"differs from an undisturbed run: {', '.join(differing)}")
        if verified.returncode:
            outcome.broken.append(f"verify ends with {verified.returncode}: {verified.stdout.strip().splitlines()[:3]}")
        status = world.run("dvc", "status").stdout.strip()
        if status != "Data and pipelines are up to date.":
            outcome.broken.append(f"dvc status: {status.splitlines()}")
        if leftovers(world):
            outcome.broken.append(f"leftovers: {leftovers(world)}")

    def _undisturbed(self, world: World) -> Record:
        """What a run from the same state gives in a repository without a cache, to which nothing happened."""
        state = world.state() | {"tasks/core/tensors.py": (world.root / "tasks/core/tensors.py").read_bytes()}
        key = hashlib.sha256(b"\0".join(name.encode() + content for name, content in sorted(state.items()))).hexdigest()
        if key not in self._expected:
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                clean = World(Path(shutil.copytree(self.base.root, Path(folder) / "clean", symlinks=True)), self.variables)
                for part in (".dvc/cache", ".dvc/tmp"):
                    shutil.rmtree(clean.root / part, ignore_errors=True)
                for name, content in state.items():
                    (clean.root / name).write_bytes(content)
                done = clean.run("dvc", "repro")
                if done.returncode:
                    raise RuntimeError(f"an undisturbed run fails: {done.stdout}")
                self._expected[key] = clean.record()
        return self._expected[key]


def leftovers(world: World) -> list[str]:
    """Temporary files of ours and of DVC's among the outputs."""
    patterns = ("*.partial", ".*.tmp")
    found = (path for folder in (*OUTPUTS, "data") for pattern in patterns for path in (world.root / folder).rglob(pattern))
    return sorted(path.relative_to(world.root).as_posix() for path in found)


@contextmanager
def _server_of_its_own(world: World) -> Iterator[None]:
    with prefect_server(environment=world.variables) as url:
        world.variables = world.variables | {"PREFECT_API_URL": url, "PREFECT_CLIENT_MAX_RETRIES": "0"}
        yield


@contextmanager
def campaign(seed: int, *, flow: bool = False, folder: Path | None = None) -> Iterator[Campaign]:
    """A campaign in a temporary folder, with the homes of DVC and Prefect in it; with `flow` also through the whole flow."""
    with tempfile.TemporaryDirectory(prefix="goodfit-faults-", dir=folder, ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        variables = {
            "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-config"),
            "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
            "PREFECT_HOME": str(home / "prefect"),
        }
        if not flow:
            yield Campaign(home, seed, variables)
            return
        with prefect_server(environment=variables) as url:
            yield Campaign(home, seed, variables | {"PREFECT_API_URL": url}, ("dvc", "gate", "flow"))
