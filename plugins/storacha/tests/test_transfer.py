"""Uploads as users make and leave them: the commands, a stack, and the official command lines."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from plugins.storacha.tests.running import Run
from plugins.storacha.tests.spaces import Space, make_space
from tests.support.servers.storacha import OfficialCli, StorachaServer

from ziggurat import open_store
from ziggurat.content import Cid
from ziggurat.errors import LastCopy, MalformedContent
from ziggurat.testing._content import car_bytes, file, noise
from ziggurat_storacha.client import Capability, Key, Service, delegate
from ziggurat_storacha.client.bridge import Bridge, make_token
from ziggurat_storacha.client.delegation import archive
from ziggurat_storacha.uploads.batch import Sent, upload_many
from ziggurat_storacha.uploads.carstore import CarStore


@pytest.fixture
def space(storacha: StorachaServer, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Space:
    """A space that the commands use by the environment, and stacks too."""
    made = make_space(storacha)
    said = {
        "STORACHA_PRINCIPAL": made.agent.to_text(),
        "STORACHA_PROOF": made.proof(),
        "STORACHA_SPACE": made.did,
        "STORACHA_GATEWAY_URL": storacha.url,
        "STORACHA_INDEXER_URL": storacha.url,
    }
    environment.update(said)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    return made


def stack(space: Space, folder: Path, **tables: Any) -> dict[str, Any]:
    """A stack of memory, disk and storacha."""
    options = {
        name: getattr(space.options(), name)
        for name in ("service_url", "service_did", "gateway_url", "indexer_url", "space")
    }
    options |= {"key": {"env": "STORACHA_PRINCIPAL"}, "proof": {"env": "STORACHA_PROOF"}}
    return {
        "store": {"path": str(folder / "store"), "min_copies": 1, **tables.get("store", {})},
        "tier": [
            {"name": "ram", "backend": "memory", "capacity": "8 MB"},
            {"name": "disk", "backend": "disk", "role": "store", "options": {"path": str(folder / "disk")}},
            {
                "name": "web",
                "backend": "storacha",
                "role": "store",
                "publish": True,
                "options": options,
                **tables.get("web", {}),
            },
        ],
    }


def write_toml(config: dict[str, Any], path: Path) -> Path:
    lines = ["[store]", *(f"{name} = {json.dumps(value)}" for name, value in config["store"].items())]
    for tier in config["tier"]:
        lines += ["", "[[tier]]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in tier.items() if name != "options"]
        if "options" in tier:
            lines += ["[tier.options]"]
            for name, value in tier["options"].items():
                text = f'{{ env = "{value["env"]}" }}' if isinstance(value, dict) else json.dumps(value)
                lines.append(f"{name} = {text}")
    path.write_text("\n".join(lines) + "\n")
    return path


# -- the commands --------------------------------------------------------------------------------------


def test_up_ls_rm_and_usage(run: Run, space: Space, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(noise(3000))
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/b.txt").write_text("b")
    (tree / "c.txt").write_text("c")
    (tree / "link").symlink_to("c.txt")
    up = run("up", "a.bin", "tree", "missing", "-", stdin=b"from a pipe")
    assert up.code == 1
    assert up.error["error"] == "FileNotFoundError"
    assert [(one["path"], one["type"], one["size"]) for one in up.records] == [
        ("a.bin", "file", 3000),
        ("tree", "directory", 2),
        ("-", "file", 11),
    ]
    roots = [one["cid"] for one in up.records]
    assert all(one["space"] == space.did and one["shards"] == 1 and one["sent"] for one in up.records)
    again = run("up", "a.bin")
    assert again.records[0]["cid"] == roots[0]
    assert again.records[0]["sent"] == 0
    listed = run("ls", "--page", "2")
    assert {one["cid"] for one in listed.records} == set(roots)
    (shard,) = run("ls", roots[0]).records
    assert shard["stored"] > 3000
    used = run("usage").records
    assert [one["space"] for one in used] in ([], [space.did])
    removed = run("rm", roots[1], roots[1])
    assert removed.code == 4
    assert removed.records[0]["bytes"] > 0
    assert "cannot be taken back" in removed.records[0]["kept"]
    assert {one["cid"] for one in run("ls").records} == {roots[0], roots[2]}
    assert run("ls", roots[1]).code == 4


def test_a_car_goes_up_as_it_is(run: Run, space: Space, tmp_path: Path) -> None:
    sample = file(noise(4000, 1))
    car = car_bytes(sample.root, sample.blocks.items())
    (tmp_path / "a.car").write_bytes(car)
    (record,) = run("up", "--car", "a.car").records
    assert (record["cid"], record["type"]) == (str(sample.root), "car")
    (shard,) = run("ls", record["cid"]).records
    assert shard["stored"] == len(car)
    (tmp_path / "b.car").write_bytes(car[:-3])
    assert run("up", "--car", "b.car").error["error"] == "MalformedContent"
    assert run("up", "--root", record["cid"], "a.car").code == 2


def test_a_batch_answers_for_each(space: Space, tmp_path: Path) -> None:
    tier = space.open(tmp_path)
    sources: list[Any] = [noise(100, 1), tmp_path / "nowhere", iter([b"in ", b"pieces"]), b""]
    (tmp_path / "f").write_bytes(noise(3_000_000, 2))
    sources.append(tmp_path / "f")
    told: list[int] = []
    answers = list(
        upload_many(tier.connection.uploads, sources, spool=tmp_path, parallel=3, progress=told.append)
    )
    assert [type(one).__name__ for one in answers] == ["Sent", "FileNotFoundError", "Sent", "Sent", "Sent"]
    sizes = [one.size for one in answers if isinstance(one, Sent)]
    assert sizes == [100, 9, 0, 3_000_000]
    assert sum(told) > 3_000_000
    tier.close()


def test_a_car_is_stored_over_the_bridge_with_a_token_alone(space: Space, tmp_path: Path) -> None:
    tier = space.open(tmp_path)
    here = tier.connection
    allowed = ["store/add", "store/list", "store/remove", "upload/add"]
    token, _ = make_token(here.agent, allowed, space=space.did, expiration=None)
    nobody = Service(here.agent.service.endpoints, Key.generate())
    sample = file(noise(3000, 71))
    car = car_bytes(sample.root, sample.blocks.items())
    store = CarStore(Bridge(nobody, token).call, nobody.transport, space.did)
    done = store.add(car)
    assert (done.root, done.size, done.sent) == (sample.root, len(car), True)
    # The bridge gives no nonce: asked again within a second, the service repeats its answer.
    assert store.add(car).root == sample.root
    assert [(one.shard, one.size) for one in store.list()] == [(done.shard, len(car))]
    row = here.uploads.get(sample.root)
    assert row is not None
    assert row.shards == (done.shard,)
    other = file(noise(2000, 72))
    assert store.add(car_bytes(other.root, other.blocks.items())).sent
    assert tier.evict(other.root.key, None).had
    row = here.uploads.get(other.root)
    assert row is None
    end = time.monotonic() + 10
    while len(found := list(store.list())) != 1:
        assert time.monotonic() < end
        time.sleep(0.3)
    assert found[0].shard == done.shard
    assert store.remove(done.shard) == len(car)
    with pytest.raises(MalformedContent):
        store.add(car[:-1])
    nobody.close()
    tier.close()


# -- a stack -------------------------------------------------------------------------------------------


def test_a_stack_of_memory_disk_and_storacha(space: Space, tmp_path: Path, storacha: StorachaServer) -> None:
    data = noise(3_000_000, 3)
    config = stack(space, tmp_path, store={"min_copies": 2})
    with open_store(config) as store:
        receipt = store.put(data)
        assert set(receipt.copies) == {"disk", "web"}
    with open_store(config) as store:
        assert store.evict(receipt.cid, "disk").had
        assert store.get(receipt.cid) == data
        assert store.get(receipt.cid, 1_500_000, 70_000) == data[1_500_000:1_570_000]
        assert [finding.ok for finding in store.verify(receipt.cid)] == [True]
        with pytest.raises(LastCopy):
            store.evict(receipt.cid, "web")
        store.copy(receipt.cid, "disk")
        gone = store.evict(receipt.cid, "web")
        assert gone.had
        assert "cannot be taken back" in gone.kept
        store.remove(receipt.cid)
        collected = {one.tier: one for one in store.gc()}
        assert collected["disk"].blobs == 1
        assert collected["web"].failed == ()
    tier = space.open(tmp_path)
    assert list(tier.connection.uploads.blobs.list()) == []
    tier.close()


def test_gc_says_what_the_medium_holds_on(space: Space, tmp_path: Path) -> None:
    config = stack(space, tmp_path, store={"min_copies": 2})
    with open_store(config) as store:
        receipt = store.put(noise(2000, 8))
        store.remove(receipt.cid)
        collected = {one.tier: one for one in store.gc()}
    assert collected["web"].failed == ()
    assert collected["web"].blobs == 1
    assert str(receipt.cid) in collected["web"].kept[0]


def test_without_publish_nothing_goes_out(space: Space, tmp_path: Path, storacha: StorachaServer) -> None:
    config = stack(space, tmp_path, web={"publish": False})
    with open_store(config) as store:
        storacha.forget()
        assert store.put(noise(2000, 4)).copies == ("disk",)
    assert storacha.log("space/blob/add") == []


def test_rm_spares_what_the_stack_counts_on(run: Run, space: Space, tmp_path: Path) -> None:
    config = stack(space, tmp_path, store={"min_copies": 2})
    with open_store(config) as store:
        both = store.put(noise(2000, 5)).cid
        only = store.put(noise(2000, 6)).cid
        store.evict(only, "disk")
    path = write_toml(config, tmp_path / "z.toml")
    (tmp_path / "x").write_bytes(b"uncounted")
    (stray,) = run("up", "x").records
    done = run("rm", only, both, stray["cid"], "--config", path)
    assert done.code == 8
    assert done.error["error"] == "LastCopy"
    assert [one["cid"] for one in done.records] == [str(both), stray["cid"]]
    assert {one["cid"] for one in run("ls").records} == {str(only)}


# -- leaving -------------------------------------------------------------------------------------------


def test_export_copies_all_and_goes_on_where_it_stopped(
    run: Run, space: Space, storacha: StorachaServer, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(3):
        (tree / f"{number}").write_bytes(noise(900, number))
        (tmp_path / f"{number}.bin").write_bytes(noise(70_000, 20 + number))
    (tmp_path / "big").write_bytes(noise(3_000_000, 33))
    roots = [one["cid"] for one in run("up", "tree", "0.bin", "1.bin", "2.bin", "big").records]
    assert len(roots) == 5
    # One upload is named, and its blocks are nowhere.
    lost = file(noise(900, 44)).root
    backend = space.open(tmp_path)
    backend.connection.uploads.service.call("upload/add", space.did, {"root": lost, "shards": []})
    backend.close()
    path = write_toml(stack(space, tmp_path, web={"publish": False}), tmp_path / "z.toml")
    first = run("export", "--to", "disk", roots[1], "--config", path)
    assert [(one["cid"], one["state"]) for one in first.records] == [(roots[1], "copied")]
    done = run("export", "--to", "disk", "--config", path)
    states = {one["cid"]: one["state"] for one in done.records}
    assert states.pop(str(lost)) == "failed"
    assert states.pop(roots[1]) == "there already"
    assert set(states.values()) == {"copied"}
    assert set(states) == set(roots) - {roots[1]}
    assert done.code == 5
    failed = next(one for one in done.records if one["state"] == "failed")
    assert failed["error"] == "StoreUnavailable"
    assert "the space lists it" in failed["message"]
    storacha.fault(times=None)
    with open_store(path) as store:
        for root, source in zip(roots[1:], ("0.bin", "1.bin", "2.bin", "big"), strict=True):
            assert store.get(root) == (tmp_path / source).read_bytes()
        assert store.get(f"{roots[0]}/1") == (tree / "1").read_bytes()


def test_export_wants_a_place_and_a_tier(run: Run, space: Space, tmp_path: Path) -> None:
    path = write_toml(stack(space, tmp_path), tmp_path / "z.toml")
    assert run("export", "--to", "web", "--config", path).code == 3
    assert run("export", "--to", "nowhere", "--config", path).code == 3
    assert run("export", "--to", "ram", "--config", path).code == 3
    assert run("export", "--to", "disk", str(Cid.of(b"no")), "--config", path).code == 4
    assert run("export", "--to", "disk", "--tier", "other", "--config", path).code == 3
    (tmp_path / "there").write_bytes(b"there")
    (there,) = run("up", "there").records
    some = run("export", "--to", "disk", "nonsense", Cid.of(b"no"), there["cid"], "--config", path)
    assert [(one["cid"], one["state"]) for one in some.records] == [(there["cid"], "copied")]
    assert some.code == 2  # that of the first failure


# -- the official command lines ------------------------------------------------------------------------


@pytest.fixture
def shared(space: Space, storacha: StorachaServer, tmp_path: Path) -> OfficialCli:
    """The official command line in the same space: our delegation, its agent."""
    agent = Key.generate()
    cli = OfficialCli(storacha, tmp_path / "official", principal=agent.to_text())
    grant = delegate(space.owner, agent.did, [Capability("*", space.did)], expiration=None)
    (tmp_path / "grant.ucan").write_bytes(archive(grant))
    cli.run("space", "add", str(tmp_path / "grant.ucan"))
    cli.run("space", "use", space.did)
    return cli


def test_what_the_official_tool_uploads_is_listed_read_and_proved(
    run: Run, shared: OfficialCli, space: Space, tmp_path: Path
) -> None:
    data = noise(3_000_000, 9)
    (tmp_path / "theirs.bin").write_bytes(data)
    tree = tmp_path / "theirs"
    tree.mkdir()
    (tree / "a.txt").write_text("from them")
    single = shared.run("up", "--no-wrap", "--json", str(tmp_path / "theirs.bin"))
    root = json.loads(single)["root"]["/"]
    folder = json.loads(shared.run("up", "--json", str(tree)))["root"]["/"]
    assert {one["cid"] for one in run("ls").records} == {root, folder}
    with open_store(stack(space, tmp_path)) as store:
        assert store.get(root) == data
        adopted = store.adopt(root, "web")
        assert (adopted.size, adopted.copies) == (len(data), ("web",))
        names = [entry.path for entry in store.ls(folder)]
        assert [name.rpartition("/")[2] for name in names] in (["a.txt"], ["theirs"])
    assert run("rm", folder).code == 0
    assert folder not in shared.run("ls")


def test_what_we_upload_the_official_tool_lists_and_removes(
    run: Run, shared: OfficialCli, space: Space, tmp_path: Path
) -> None:
    (tmp_path / "ours.bin").write_bytes(noise(2_000_000, 10))
    (record,) = run("up", "ours.bin").records
    root = record["cid"]
    assert root in shared.run("ls", "--shards")
    shared.run("rm", root, "--shards")
    assert run("ls").records == []
    assert root not in shared.run("ls")


def test_a_proof_of_the_official_tool_works_here(
    run: Run, storacha: StorachaServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    cli = OfficialCli(storacha, tmp_path / "owner")
    did = cli.create_space("theirs", f"{os.urandom(4).hex()}@example.org")
    agent = Key.generate()
    abilities = [word for can in ("space/*", "upload/*", "index/*") for word in ("-c", can)]
    proof = cli.run("delegation", "create", agent.did, *abilities, "--base64").strip()
    environment.update(
        STORACHA_PRINCIPAL=agent.to_text(),
        STORACHA_PROOF=proof,
        STORACHA_SPACE=did,
        STORACHA_INDEXER_URL=storacha.url,
    )
    (tmp_path / "f").write_bytes(b"with their leave")
    (record,) = run("up", "f").records
    assert record["cid"] in cli.run("ls")
