"""What is read from DVC's cache is what its name says."""

import pytest

from flows.lineage.objects import Objects
from flows.repository import object_path
from tasks.core.errors import GoodfitError
from tests.flows.lineage.world import World, statement


def damage(world: World, md5: str, content: bytes) -> None:
    object_path(world.root / ".dvc/cache", md5).write_bytes(content)


def test_a_damaged_object_is_not_read(world: World) -> None:
    md5 = world.cache("right")
    assert Objects(world.root).text(md5) == "right"
    damage(world, md5, b"wrong")
    found = Objects(world.root)
    assert (found.content(md5), found.text(md5)) == (None, None)
    with pytest.raises(GoodfitError, match=rf"found md5 \w+, expected {md5}: DVC's cache has a damaged copy of a\.txt"):
        found.file(md5, "a.txt")
    (world.root / "a.txt").write_text("right")
    assert found.file(md5, "a.txt") == world.root / "a.txt"


def test_another_list_or_statement_under_the_name_of_one_is_not_believed(world: World) -> None:
    folder, own = world.folder(a="0" * 32), world.cache(statement("train", {}, {}))
    found = Objects(world.root)
    assert found.members(folder) == {"a": "0" * 32}
    assert found.statement(own) is not None
    damage(world, folder, b"[]")
    damage(world, own, statement("evaluate", {}, {}).encode())
    again = Objects(world.root)
    assert (again.members(folder), again.statement(own)) == (None, None)


def test_what_is_no_md5_is_in_no_cache(world: World) -> None:
    found = Objects(world.root)
    assert not found.has("../../../etc/hostname")
    assert (found.text("x"), found.statement("x"), found.members("x.dir")) == (None, None, None)
