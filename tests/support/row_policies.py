"""`python -m tests.support.row_policies FOLDER`: tables in files and row policies in; what views show under them out.

A real engine in this process, whose only user has the policies' own conditions as filters of users.xml: that much of
access control the embedded ClickHouse has. FOLDER holds TABLE.jsonl files and policies.json, table → condition; what
is printed is JSON, view → its organisations.
"""

import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import chdb

from sinks.migrate import migrations

DATABASE = "usage_credits"
ANALYST = "default"


def main(folder: Path) -> None:
    """Fill a database, then ask every view that has an `org_id`."""
    policies: dict[str, str] = json.loads((folder / "policies.json").read_text(encoding="utf-8"))
    engine = chdb.connect(f"{folder / 'data'}?config-file={_config(folder, policies)}")
    engine.query(f"CREATE DATABASE {DATABASE} ENGINE = Atomic")
    engine.query(f"USE {DATABASE}")
    for statement in (statement for migration in migrations() for statement in migration.statements):
        engine.query(statement)
    engine.query(json.loads((folder / "table.json").read_text(encoding="utf-8")))
    engine.query(f"INSERT INTO analyst_organizations VALUES ('{ANALYST}', 'acme'), ('another', 'lumen')")
    for file in sorted(folder.glob("*.jsonl")):
        insert = engine.send_insert(f"INSERT INTO {file.stem}", "JSONEachRow")
        insert.append(file.read_bytes())
        insert.finish()
    views = engine.query(
        f"SELECT table FROM system.columns WHERE database = '{DATABASE}' AND name = 'org_id' AND table IN "
        f"(SELECT name FROM system.tables WHERE database = '{DATABASE}' AND engine = 'View')",
        "TSV",
    )
    shown = {
        view: json.loads(str(engine.query(f"SELECT toJSONString(groupUniqArray(org_id)) FROM {view}", "TSVRaw")))
        for view in str(views).split()
    }
    print(json.dumps(shown))
    engine.close()


def _config(folder: Path, policies: dict[str, str]) -> Path:
    filters = "".join(f"<{name}><filter>{escape(text)}</filter></{name}>" for name, text in policies.items())
    users, config = folder / "users.xml", folder / "config.xml"
    users.write_text(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>"
        f"<{ANALYST}><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
        f"<databases><{DATABASE}>{filters}</{DATABASE}></databases></{ANALYST}></users></clickhouse>",
        encoding="utf-8",
    )
    config.write_text(f"<clickhouse><users_config>{users}</users_config></clickhouse>", encoding="utf-8")
    return config


if __name__ == "__main__":
    main(Path(sys.argv[1]))
