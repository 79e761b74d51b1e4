"""Requests on a connection that is being lost: they fail as aiokafka's own do, whatever event loop runs them.

Between the loss of a connection and aiokafka's hearing of it lie a few turns of the loop. What is sent meanwhile is
swallowed by asyncio's own transport, and fails with the connection; uvloop's raises RuntimeError, which nothing in
aiokafka expects: a partition would halt, and what looks for brokers in a client would end without a word. So it is for
every client of a process that imports this, as Settings.kafka() does.
"""

from typing import Any

from aiokafka import conn


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's own, which takes no more requests once its transport closes."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        self._close_if_lost()
        return super().send(request, expect_response)

    def _send_sasl_token(self, payload: Any, expect_response: bool = True) -> Any:
        self._close_if_lost()
        return super()._send_sasl_token(payload, expect_response)

    def _close_if_lost(self) -> None:
        """Closed, it refuses what is sent with KafkaConnectionError."""
        if self._writer is not None and self._writer.is_closing():
            self.close(reason=conn.CloseReason.CONNECTION_BROKEN)


conn.AIOKafkaConnection = Connection
