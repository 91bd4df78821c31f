import logging
import pickle
import subprocess
import sys

import pytest
from attrs import frozen

from ziggurat.backend import BackendType
from ziggurat.errors import ContractMismatch, PluginConflict, PluginError, UnknownBackend
from ziggurat.plugin.registry import Provider, Registry

from .conftest import GOOD


@frozen
class Options:
    pass


def backend_type(**changes):
    return BackendType(**{"factory": lambda options, context: object(), "options": Options, **changes})


def test_a_listing_names_distribution_and_version_and_imports_nothing(install):
    install("zig-one", {"one": "fake_one:backend"}, {"fake_one": "raise SystemExit('imported')"})
    install("zig-two", {"two": "fake_two:backend"}, {"fake_two": GOOD}, version="7.0")
    before = set(sys.modules)
    listed = Registry().available()
    assert Provider("one", "zig-one", "1.2.3") in listed
    assert Provider("two", "zig-two", "7.0") in listed
    assert [p.name for p in listed] == sorted(p.name for p in listed)
    assert not {name for name in set(sys.modules) - before if name.startswith(("fake_", "ziggurat_"))}


def test_only_the_backend_that_is_asked_for_is_imported(install):
    install("zig-one", {"one": "fake_one:backend"}, {"fake_one": "raise RuntimeError('imported')"})
    install("zig-two", {"two": "fake_two:backend"}, {"fake_two": GOOD})
    provider, found = Registry().load_backend("two")
    assert provider == Provider("two", "zig-two", "1.2.3")
    assert isinstance(found, BackendType)
    assert "fake_one" not in sys.modules


def test_one_distribution_may_offer_several(install):
    install("zig-many", {"a1": "fake_many:backend", "a2": "fake_many:backend"}, {"fake_many": GOOD})
    registry = Registry()
    assert registry.load_backend("a1")[0].distribution == registry.load_backend("a2")[0].distribution


def test_an_unknown_backend_is_answered_with_what_is_installed_and_how_to_get_it(install):
    install("zig-two", {"two": "fake_two:backend"}, {"fake_two": GOOD})
    with pytest.raises(UnknownBackend) as caught:
        Registry().load_backend("tape")
    message = str(caught.value)
    assert "'tape'" in message
    assert "two" in message
    assert "pip install ziggurat-tape" in message
    assert "\n" not in message


def test_a_slip_of_the_pen_is_recognised_and_nothing_foreign_is_proposed_for_installation(install):
    install("zig-two", {"archive": "fake_two:backend"}, {"fake_two": GOOD})
    with pytest.raises(UnknownBackend, match="did you mean 'archive'") as caught:
        Registry().load_backend("archiv")
    assert "pip install" not in str(caught.value)


def test_the_extra_that_brings_a_published_backend_is_read_from_the_core_itself(monkeypatch):
    import importlib_metadata

    lines = ['ziggurat-x; extra == "x"', *(f"ziggurat-{n}; extra == 'near'" for n in "xy"), "attrs>=24"]
    monkeypatch.setattr(importlib_metadata, "requires", lambda name: lines)
    with pytest.raises(UnknownBackend, match=r'pip install ziggurat-x, or pip install "ziggurat\[near\]"'):
        Registry.of({}).load_backend("x")


@pytest.mark.parametrize("name", ["", "a b", "x;rm -rf", "../up", "--index-url=evil", "é", ":", "a:"])
def test_no_command_is_proposed_for_a_name_that_no_distribution_can_have(name):
    with pytest.raises(UnknownBackend) as caught:
        Registry.of({}).load_backend(name)
    assert "pip install" not in str(caught.value)


def test_two_distributions_with_one_name_conflict_until_one_is_named(install):
    install("zig-one", {"same": "fake_one:backend"}, {"fake_one": GOOD}, version="1.0")
    install("Zig_Two", {"same": "fake_two:backend"}, {"fake_two": GOOD}, version="2.0")
    registry = Registry()
    with pytest.raises(PluginConflict) as caught:
        registry.load_backend("same")
    message = str(caught.value)
    for part in ("zig-one 1.0", "Zig_Two 2.0", '"zig-one:same"'):
        assert part in message
    assert "fake_one" not in sys.modules
    assert registry.load_backend("zig-one:same")[0].version == "1.0"
    assert registry.load_backend("zig-two:same")[0].version == "2.0"
    with pytest.raises(UnknownBackend, match="did you mean 'zig-one:same' or 'Zig_Two:same'"):
        registry.load_backend("zig-three:same")


def test_one_distribution_seen_twice_is_no_conflict_and_the_first_on_the_path_wins(install):
    install("zig-one", {"same": "fake_one:backend"}, {"fake_one": GOOD}, version="1.0", site="late")
    install("Zig.One", {"same": "fake_one:backend"}, {"fake_one": GOOD}, version="2.0", site="early")
    assert [p.version for p in Registry().available() if p.name == "same"] == ["2.0"]
    assert Registry().load_backend("same")[0].version == "2.0"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import fake_absent_library", "ModuleNotFoundError: No module named 'fake_absent_library'"),
        ("def broken(:", "SyntaxError"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("other = 1", "AttributeError"),
    ],
)
def test_a_broken_import_names_distribution_version_and_reason(install, source, reason):
    install("zig-one", {"one": "fake_one:backend"}, {"fake_one": source})
    with pytest.raises(PluginError) as caught:
        Registry().load_backend("one")
    message = str(caught.value)
    assert "zig-one 1.2.3" in message
    assert reason in message
    assert "\n" not in message
    assert (caught.value.distribution, caught.value.version) == ("zig-one", "1.2.3")
    assert caught.value.__cause__ is not None
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_an_entry_point_that_is_no_reference_is_a_plugin_error(install):
    install("zig-one", {"one": "not a reference!"})
    with pytest.raises(PluginError, match=r"zig-one 1\.2\.3"):
        Registry().load_backend("one")


@pytest.mark.parametrize("found", [Options, Options(), sys, "text", None, lambda: None])
def test_what_is_not_a_backend_type_is_refused(found):
    with pytest.raises(PluginError, match=r"given 0.*not a ziggurat\.backend\.BackendType"):
        Registry.of({"one": found}).load_backend("one")


@pytest.mark.parametrize(
    ("contract", "fix"), [(0, "--upgrade given"), (2, "--upgrade ziggurat"), ("1", "--upgrade")]
)
def test_another_contract_says_which_side_to_upgrade(contract, fix):
    with pytest.raises(ContractMismatch) as caught:
        Registry.of({"one": backend_type(contract=contract)}).load_backend("one")
    assert fix in str(caught.value)
    assert repr(contract) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"options": dict}, "the class dict, not an attrs class"),
        ({"options": Options()}, "object of type Options, not an attrs class"),
        ({"factory": "make"}, "cannot be called"),
        ({"capabilities": None}, "not Capabilities"),
        ({"default_cache_capacity": "1 GB"}, "not a number of bytes"),
        ({"default_cache_capacity": True}, "not a number of bytes"),
        ({"default_cache_capacity": 0}, "not a number of bytes"),
    ],
)
def test_an_unusable_description_is_refused(changes, reason):
    with pytest.raises(PluginError, match=reason):
        Registry.of({"one": backend_type(**changes)}).load_backend("one")


def test_a_distribution_with_damaged_metadata_hides_nobody(install, caplog):
    install("zig-one", "[ziggurat.backends]\nthis line has no equals sign\n")
    install("zig-bare", {"bare": "fake_bare:backend"}, metadata=False)
    install("zig-two", {"two": "fake_two:backend"}, {"fake_two": GOOD})
    with caplog.at_level(logging.WARNING, "ziggurat"):
        names = {provider.name for provider in Registry().available()}
    assert "two" in names


def test_other_groups_are_separate(install):
    install(
        "zig-one", {"one": "fake_one:run"}, {"fake_one": "def run(): return 7"}, group="ziggurat.commands"
    )
    commands = Registry("ziggurat.commands")
    assert [p.name for p in commands.available() if p.distribution == "zig-one"] == ["one"]
    assert "one" not in {p.name for p in Registry().available()}
    assert commands.load("one")[1]() == 7
    with pytest.raises(PluginError, match=r"'two' in ziggurat\.commands"):
        commands.load("two")


def test_given_plugins_are_offered_as_they_are():
    given = backend_type()
    registry = Registry.of({"b": given, "a": backend_type()}, distribution="test-kit", version="9")
    assert [p.name for p in registry.available()] == ["a", "b"]
    assert registry.load_backend("b") == (Provider("b", "test-kit", "9"), given)
    assert registry.load_backend("test_kit:b")[1] is given


def test_asking_for_the_registry_does_not_import_the_metadata_library():
    code = (
        "import sys, ziggurat.plugin.registry as r; r.Registry(); print('importlib_metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
