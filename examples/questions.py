"""Questions of analysts go in, to ClickHouse; their answers come out as tables, money exact.

usage: python examples/questions.py      (CLICKHOUSE_URL says where)

Any client of ClickHouse does; docs/analysts.md has more questions, and says what each view holds.
"""

import os
from collections.abc import Sequence
from decimal import Decimal

import clickhouse_connect

THIS_MONTH = "month = (SELECT month FROM ledger_time)"
QUESTIONS = {
    "Who has spent most this month?": f"""
        SELECT org_id, user_id, spend_usd FROM month_to_date_by_member
        WHERE {THIS_MONTH} ORDER BY spend_usd DESC, org_id, user_id LIMIT 5""",
    "On which models?": f"""
        SELECT model, sum(spend_usd) AS usd, sum(events) AS requests FROM spend_by_model
        WHERE {THIS_MONTH} GROUP BY model ORDER BY usd DESC""",
    "How much of each limit is used?": """
        SELECT org_id, scope_kind, user_id, limit_usd, spend_usd, used_percent FROM limits
        ORDER BY used_percent DESC, org_id, user_id LIMIT 5""",
    "Who is paused, why, and until when?": """
        SELECT org_id, user_id, arrayStringConcat(reasons, ', ') AS why, paused_until FROM paused_members
        ORDER BY org_id, user_id""",
    "How far did each breach go over its limit?": """
        SELECT org_id, breached_at, limit_usd, overshoot_usd, overshoot_final_usd FROM overshoots
        ORDER BY breached_at""",
    "How long do balances last?": """
        SELECT org_id, balance_usd, burnt_usd, days_left FROM balance_runway ORDER BY org_id""",
}


def text(cell: object) -> str:
    """Money with all its digits."""
    return "" if cell is None else f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as what is in them."""
    lines = [names, *(list(map(text, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


if __name__ == "__main__":
    url = os.environ.get("CLICKHOUSE_URL", "http://default@127.0.0.1:8123")
    client = clickhouse_connect.get_client(dsn=url, database=os.environ.get("CLICKHOUSE_DATABASE", "usage_credits"))
    for question, sql in QUESTIONS.items():
        answer = client.query(sql)  # money comes as decimal.Decimal: add it up as it is, never as a float
        print(f"{question}\n{table(answer.column_names, answer.result_rows)}\n")
