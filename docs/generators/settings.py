"""The apps' typed settings."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields

from docs.generators.markdown import attributes, prose, table, value_text


def conf_block(module: str, name: str) -> str:
    """Return the table of a settings dataclass."""
    described = getattr(__import__(module, fromlist=[name]), name)
    texts = attributes(described)
    rows = []
    for each in fields(described):
        default = each.default
        if default is MISSING:
            assert each.default_factory is not MISSING  # noqa: S101  (every key is optional)
            default = each.default_factory()
        rows.append((f"`{each.name}`", value_text(default), prose(texts[each.name])))
    return table(("Key", "Default", "What it does"), rows)


def legacy_block() -> str:
    """Return the table of the keys of an entry of LEGACY_ADAPTERS, by adapter."""
    from legacy_adapters.conf import SourceConf  # noqa: PLC0415
    from legacy_adapters.cookie import CookieAdapter  # noqa: PLC0415
    from legacy_adapters.database import DatabaseAdapter  # noqa: PLC0415
    from legacy_adapters.local_storage import LocalStorageAdapter  # noqa: PLC0415
    from legacy_adapters.memory_cache import MemoryCacheAdapter  # noqa: PLC0415

    rows = [("every", "`ADAPTER`", "required", prose(attributes(SourceConf)["adapter"]))]
    for adapter in (DatabaseAdapter, CookieAdapter, MemoryCacheAdapter, LocalStorageAdapter):
        meanings = attributes(adapter)
        for parameter in inspect.signature(adapter).parameters.values():
            if parameter.name not in {"source", "request"}:
                key, default = parameter.name.upper(), value_text(parameter.default)
                meaning = prose(meanings[parameter.name])
                rows.append((f"`{adapter.__name__}`", f"`{key}`", default, meaning))
    return table(("Adapter", "Key", "Default", "What it does"), rows)
