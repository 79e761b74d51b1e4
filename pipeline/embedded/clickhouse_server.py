"""The process that owns a ClickHouse data folder and answers HTTP for it.

usage: python -m pipeline.embedded.clickhouse_server DATA_DIR PORT
DATA_DIR holds users.json (names, passwords, rights) and gets data/ and config.xml.
"""

import argparse
import sys
from pathlib import Path

from aiohttp import web

from pipeline.embedded.clickhouse_http.endpoint import Endpoint
from pipeline.embedded.clickhouse_http.sessions import Engine
from pipeline.embedded.clickhouse_http.users import USERS_NAME, read_users
from pipeline.embedded.ports import LOOPBACK

# Off by default in the engine: an acknowledged insert would not survive a power cut. No measurable cost at 50,000 rows.
_CONFIG = """<clickhouse>
    <merge_tree>
        <fsync_after_insert>1</fsync_after_insert>
        <fsync_part_directory>1</fsync_part_directory>
    </merge_tree>
</clickhouse>
"""
_GRACE_SECONDS = 2.0


def serve(data_dir: Path, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        RuntimeError: the engine cannot open the folder.
    """
    config = data_dir / "config.xml"
    config.write_text(_CONFIG)
    engine = Engine(str(data_dir / "data"), str(config))
    application = Endpoint(engine, read_users(data_dir / USERS_NAME)).application()
    web.run_app(
        application,
        host=LOOPBACK,
        port=port,
        # A client that goes away cancels its query.
        handler_cancellation=True,
        # Bodies are unpacked by us: aiohttp knows neither lz4 nor many frames in one body.
        auto_decompress=False,
        access_log=None,
        shutdown_timeout=_GRACE_SECONDS,
        print=None,
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="clickhouse_server", description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    try:
        serve(arguments.data_dir, arguments.port)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
