import gc
import sys
from types import MethodType

from ziggurat.backend import Blob, Cid, Context, as_key
from ziggurat.plugin.binding import bind
from ziggurat.plugin.registry import Registry
from ziggurat_memory import MemoryBackend, Options, backend


def hooks_of():
    provider, type_ = Registry().load_backend("memory")
    return bind(type_.factory(Options(), Context("ram", "cache")), provider=provider, tier="ram")


def test_the_entry_point_names_it():
    provider, type_ = Registry().load_backend("ziggurat-memory:memory")
    assert provider.distribution == "ziggurat-memory"
    assert type_ is backend
    assert type_.default_cache_capacity == 100 * 10**6


def test_a_hit_is_a_bound_method_that_gives_the_very_bytes():
    hooks = hooks_of()
    assert isinstance(hooks.get_whole, MethodType)
    data = bytes(5000)
    hooks.put("key", data, None)
    assert hooks.get_whole("key") is data
    assert hooks.get("key", None, None) is data


def test_plain_text_is_shared_with_whoever_keeps_it_too():
    hooks = hooks_of()
    text = "".join(["k", "ey"])
    hooks.put(text, b"", None)
    assert next(hooks.scan()) is text


def test_a_key_is_not_kept_for_it_holds_its_cid():
    hooks = hooks_of()
    key = as_key(str(Cid.of(b"some").key))
    assert key.cid is not None
    before = sys.getrefcount(key)
    hooks.put(key, Blob.of(b"some"), None)
    gc.collect()
    assert sys.getrefcount(key) == before
    assert type(next(hooks.scan())) is str
    assert hooks.get(key, None, None) == b"some"


def test_two_tiers_share_nothing():
    first, second = hooks_of(), hooks_of()
    first.put("key", b"1", None)
    assert not second.has("key")


def test_what_is_closed_holds_nothing():
    plugin = MemoryBackend()
    plugin.put("key", b"1")
    plugin.close()
    assert list(plugin.scan()) == []
