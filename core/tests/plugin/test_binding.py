import pickle
import types

import pytest
from attrs import define, frozen

from ziggurat.backend import ByteRange, Stat, hookimpl
from ziggurat.errors import PluginError
from ziggurat.plugin.binding import Hooks, bind
from ziggurat.plugin.registry import Provider

PROVIDER = Provider("thing", "zig-thing", "4.2")


def bound(plugin) -> Hooks:
    return bind(plugin, provider=PROVIDER, tier="ram")


class Minimal:
    @hookimpl
    def get(self, key, byte_range, note):
        return b"get", key, byte_range, note

    @hookimpl
    def has(self, key):
        return True

    @hookimpl
    def stat(self, key):
        return Stat(size=3)


class Writable(Minimal):
    @hookimpl
    def put(self, key, content, info):
        return Stat(size=len(content))

    @hookimpl
    def evict(self, key, note):
        return False


def refused(plugin, *parts) -> None:
    with pytest.raises(PluginError) as caught:
        bound(plugin)
    message = str(caught.value)
    for part in ("tier 'ram'", "'thing'", "zig-thing 4.2", *parts):
        assert part in message
    assert "\n" not in message
    assert (caught.value.distribution, caught.value.version) == ("zig-thing", "4.2")
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_a_read_only_backend_has_the_three_required_hooks_alone():
    hooks = bound(Minimal())
    assert hooks.read_only
    assert [hooks.put, hooks.evict, hooks.put_many, hooks.scan, hooks.identify, hooks.close] == [None] * 6


def test_a_method_that_names_everything_in_order_is_called_without_anything_between():
    plugin = Writable()
    hooks = bound(plugin)
    for name in ("get", "has", "stat", "put", "evict"):
        assert getattr(hooks, name) == getattr(plugin, name)
        assert isinstance(getattr(hooks, name), types.MethodType)
    assert hooks.plugin is plugin
    assert not hooks.read_only


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", ()),
        ("key", ("k",)),
        ("byte_range", ("r",)),
        ("note", ("n",)),
        ("key, byte_range", ("k", "r")),
        ("key, note", ("k", "n")),
        ("note, key", ("n", "k")),
        ("byte_range, note", ("r", "n")),
        ("key, byte_range, note", ("k", "r", "n")),
        ("note, byte_range, key", ("n", "r", "k")),
    ],
)
def test_the_shim_hands_on_what_is_named_in_the_order_in_which_it_is_named(names, expected):
    scope = {"hookimpl": hookimpl, "Minimal": Minimal}
    exec(
        f"class Some(Minimal):\n @hookimpl\n def get(self, {names}): return ({names}{',' * bool(names)})",
        scope,
    )
    hooks = bound(scope["Some"]())
    assert hooks.get("k", "r", "n") == expected
    assert hooks.get_whole("k") == tuple(part if part == "k" else None for part in expected)
    assert hooks.get_names_note is ("note" in names)


def test_a_get_that_names_the_key_alone_is_itself_the_hit_path():
    class Keyed(Minimal):
        @hookimpl
        def get(self, key):
            return None

    plugin = Keyed()
    assert bound(plugin).get_whole == plugin.get


def test_every_hook_is_resolved_with_its_own_arguments():
    class Full(Writable):
        @hookimpl
        def put(self, content, key):
            return content, key

        @hookimpl
        def evict(self, key):
            return key

        @hookimpl
        def put_many(self, items):
            return items

        @hookimpl
        def scan(self):
            yield "one"

        @hookimpl
        def identify(self):
            return "me"

        @hookimpl
        def close(self):
            return None

    hooks = bound(Full())
    assert hooks.put("k", b"c", None) == (b"c", "k")
    assert hooks.evict("k", b"n") == "k"
    assert hooks.put_many([1]) == [1]
    assert list(hooks.scan()) == ["one"]
    assert hooks.identify(True) == "me"
    assert hooks.close() is None


def test_exceptions_and_results_pass_unchanged():
    class Raises(Minimal):
        @hookimpl
        def get(self, key):
            raise KeyError(key)

    with pytest.raises(KeyError):
        bound(Raises()).get("k", ByteRange(0, 1), None)


def test_equal_objects_of_several_tiers_do_not_collide():
    @define
    class Equal(Writable):
        path: str

    @frozen
    class Hashed(Writable):
        path: str

    for kind in (Equal, Hashed):
        first, second = kind("same"), kind("same")
        assert first == second
        assert bound(first).plugin is first
        assert bound(second).plugin is second
        assert bound(first).plugin is first


def test_static_class_and_module_level_hooks_work():
    class Odd(Minimal):
        @staticmethod
        @hookimpl
        def has(key):
            return key == "k"

        @classmethod
        @hookimpl
        def stat(cls, key):
            return Stat(note=cls.__name__.encode())

    hooks = bound(Odd())
    assert hooks.has("k")
    assert hooks.stat("k").note == b"Odd"

    module = types.ModuleType("some_module")
    exec(
        "from ziggurat.backend import hookimpl\n@hookimpl\ndef get(key): return b''\n"
        "@hookimpl\ndef has(key): return True\n@hookimpl\ndef stat(key): return None\n",
        module.__dict__,
    )
    assert bound(module).has("k") is True


def test_private_and_unrelated_methods_and_properties_are_nobodys_business():
    class Busy(Minimal):
        def _put(self):
            raise AssertionError

        def helper(self, anything, at=1, *all_, **more):
            raise AssertionError

        limit = 3

    assert bound(Busy()).read_only


def test_hooks_of_a_later_contract_may_be_marked_optional():
    class Early(Minimal):
        @hookimpl(optionalhook=True)
        def thaw(self, key, days):
            raise AssertionError

    assert bound(Early()).has("k")


@pytest.mark.parametrize(
    "name", ["get", "has", "stat", "put", "evict", "scan", "identify", "close", "put_many"]
)
def test_a_method_without_its_marker_is_named(name):
    plugin = type("Unmarked", (Writable,), {name: lambda self, *given: None})()
    refused(plugin, f"{name}() lacks @hookimpl", "Unmarked")


def test_an_unmarked_static_method_is_named_too():
    class Unmarked(Minimal):
        @staticmethod
        def close():
            return None

    refused(Unmarked(), "close() lacks @hookimpl")


@pytest.mark.parametrize("name", ["get", "has", "stat"])
def test_a_missing_required_hook_is_named(name):
    members = {n: vars(Minimal)[n] for n in ("get", "has", "stat") if n != name}
    refused(type("Partial", (), members)(), f"does not implement {name};")
    refused(object(), "does not implement get, has, stat;")


def test_put_and_evict_come_together():
    class NoEvict(Minimal):
        put = Writable.put

    class NoPut(Minimal):
        evict = Writable.evict

    class Many(Minimal):
        @hookimpl
        def put_many(self, items):
            return []

    refused(NoEvict(), "put without evict")
    refused(NoPut(), "evict without put")
    refused(Many(), "put_many without put")


def test_an_argument_that_the_hook_does_not_have_is_named():
    class Wrong(Minimal):
        @hookimpl
        def get(self, key, range_):
            return None

    class Near(Minimal):
        @hookimpl
        def get(self, key, byterange):
            return None

    refused(Wrong(), "get()", "'range_'", "its arguments: key, byte_range, note")
    refused(Near(), "did you mean 'byte_range'?")


def test_an_argument_that_would_never_be_passed_is_refused():
    class Default(Minimal):
        @hookimpl
        def get(self, key, note=None):
            return None

    class Keyword(Minimal):
        @hookimpl
        def get(self, key, *, note):
            return None

    class KeywordDefault(Minimal):
        @hookimpl
        def get(self, key, *, note=None):
            return None

    class Own(Minimal):
        @hookimpl
        def get(self, key, attempts=3):
            return attempts

    refused(Default(), "'note' a default", "drop the default")
    refused(Keyword(), "'note' by keyword only")
    refused(KeywordDefault(), "'note' a default")
    assert bound(Own()).get("k", None, None) == 3


def test_a_marked_method_that_is_no_hook_is_named_with_a_suggestion():
    class Typo(Minimal):
        @hookimpl
        def evictt(self, key):
            return False

    class Far(Minimal):
        @hookimpl
        def xyzzy(self):
            return None

    refused(Typo(), "evictt()", "did you mean 'evict'?")
    refused(Far(), "xyzzy()", "the hooks are get, has, stat, put")


@pytest.mark.parametrize("option", ["hookwrapper", "wrapper", "tryfirst", "trylast"])
def test_wrappers_and_orders_are_refused(option):
    class Wrapped(Minimal):
        @hookimpl(**{option: True})
        def get(self, key):
            yield

    refused(Wrapped(), f"@hookimpl({option}=True)", "plain @hookimpl")


def test_two_implementations_of_one_hook_are_refused_and_one_of_another_name_is_used():
    class Two(Minimal):
        @hookimpl(specname="get")
        def fetch(self, key):
            return None

    class Renamed:
        has, stat = Minimal.has, Minimal.stat

        @hookimpl(specname="get")
        def fetch(self, key):
            return key

    refused(Two(), "fetch() and get()", "'get'")
    assert bound(Renamed()).get("k", None, None) == "k"


def test_coroutines_and_generators_are_refused_where_an_answer_is_due():
    class Async(Minimal):
        @hookimpl
        async def has(self, key):
            return True

    class Generates(Minimal):
        @hookimpl
        def get(self, key):
            yield b""

    refused(Async(), "has() is a coroutine")
    refused(Generates(), "get() is a generator")


def test_classes_and_none_are_refused():
    refused(Minimal, "returned a class")
    refused(None, "returned None")


def test_an_object_whose_attributes_cannot_be_read_is_a_plugin_error():
    class Hostile(Minimal):
        def __dir__(self):
            raise RuntimeError("no\nlisting")

    refused(Hostile(), "cannot be registered", "no listing")
