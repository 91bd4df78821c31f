from __future__ import annotations

from hypothesis import settings

# A loaded machine is slow: time is no property of the content.
settings.register_profile("content", deadline=None)
settings.load_profile("content")
