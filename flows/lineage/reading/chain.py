"""How the stages of one dvc.lock hang together: who wrote what another one read, and whether it still lies there."""

from collections.abc import Callable, Mapping

from flows.lineage.lock import Locked

# The stages that write a path, the folder around it or something in it.
WritersOf = Callable[[str], list[str]]


class Writers:
    """Asks a dvc.lock who writes a path. A thousand runs of one pipeline write the same paths, and are searched once."""

    def __init__(self) -> None:
        self._known: dict[frozenset[tuple[str, str]], dict[str, list[str]]] = {}

    def of(self, stages: Mapping[str, Locked]) -> WritersOf:
        layout = frozenset((name, out) for name, entry in stages.items() for out in entry.outs)
        known = self._known.setdefault(layout, {})

        def writers(path: str) -> list[str]:
            if path not in known:
                known[path] = sorted({name for name, out in layout if overlap(path, out)})
            return known[path]

        return writers


def overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def writer(stages: Mapping[str, Locked], path: str) -> str | None:
    """The stage that wrote this file or folder, or the folder around it."""
    for name, entry in stages.items():
        if any(path == out or path.startswith(f"{out}/") for out in entry.outs):
            return name
    return None


def current_stages(stages: Mapping[str, Locked], writers: WritersOf) -> set[str]:
    """Those that read what the stages before them wrote last; the results of the others belong to an earlier run."""
    known: dict[str, bool] = {}

    def is_current(name: str) -> bool:
        if name not in known:
            known[name] = True  # a circle, which dvc.yaml cannot have, would not end
            known[name] = all(
                stages[other].outs.get(path, md5) == md5 and is_current(other)
                for path, md5 in stages[name].deps.items()
                for other in writers(path)
                if other != name
            )
        return known[name]

    return {name for name in stages if is_current(name)}
