"""Kafka's settings of topics, as their table and the settings say."""

from pipeline.topics import DAY_MILLIS, MEMBER_CONTACTS, SEEN_IDS


def test_what_outlives_the_horizon_goes_by_the_setting() -> None:
    """Else an event that is old, but not too old, would be charged again where its identity is gone (R14, R17)."""
    assert SEEN_IDS.config("live")["retention.ms"] == str(36 * DAY_MILLIS)
    assert SEEN_IDS.config("live", 60)["retention.ms"] == str(61 * DAY_MILLIS)
    assert SEEN_IDS.config("replay", 60)["retention.ms"] == "-1"
    assert MEMBER_CONTACTS.config("live")["delete.retention.ms"] == str(36 * DAY_MILLIS)
    assert MEMBER_CONTACTS.config("live", 60)["delete.retention.ms"] == str(61 * DAY_MILLIS)
