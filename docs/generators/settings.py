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
    """Return the table of the keys of one entry of LEGACY_ADAPTERS, for the adapters there are."""
    from legacy_adapters.conf import SourceConf  # noqa: PLC0415
    from legacy_adapters.database import DatabaseAdapter  # noqa: PLC0415

    rows = [("`ADAPTER`", "required", prose(attributes(SourceConf)["adapter"]))]
    meanings = {
        "alias": "The `DATABASES` alias over which the table is reached.",
        "table": "The table: `table` or `schema.table`, unquoted, case as it is.",
    }
    for parameter in inspect.signature(DatabaseAdapter).parameters.values():
        if parameter.name != "source":
            key = parameter.name.upper()
            rows.append((f"`{key}`", value_text(parameter.default), meanings[parameter.name]))
    return table(("Key", "Default", "What it does"), rows)
