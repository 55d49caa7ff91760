"""GET /internal/metrics: for the internal network, in the text format, without Redis 503."""

import httpx

from adapters.settings import Settings

PATH = "/internal/metrics"


async def test_who_may_read_them(http: httpx.AsyncClient, settings: Settings) -> None:
    secret = settings.internal_secret
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {secret}"},
        {"X-Internal-Secret": "wrong", "Authorization": f"Bearer {secret}"},
    ):
        assert (await http.get(PATH, headers=headers)).status_code == 403, headers
    bearer = {"Authorization": f"Bearer {secret}"}
    assert (await http.get("/internal/load", headers=bearer)).status_code == 403, "here only"
    for headers in (bearer, {"X-Internal-Secret": secret}):
        answer = await http.get(PATH, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4"
        lines = answer.text.splitlines()
        assert "artic_workers 0" in lines and "artic_partitions_free 8" in lines
        assert "artic_database_up 1" in lines and "artic_shards_frozen 0" in lines
