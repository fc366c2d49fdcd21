"""A short run of the real ghz against a real server."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from load_tests.ghz.run import Ghz
from load_tests.ghz.scenarios import STREAM_PHOTOS, closed, opened, stream
from protome.embedded import EmbeddedServer
from tests.support.tools import Tools


def answered(http: str) -> dict[tuple[str, str], float]:
    """Photos by method and status, from /metrics."""
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=30) as page:
        text = page.read().decode()
    return {
        (sample.labels["method"], sample.labels["code"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "protome_requests_total" and sample.value
    }


@pytest.mark.timeout(1800)  # The tools may have to be built first.
def test_ghz_has_every_call_answered(tools: Tools, tmp_path: Path) -> None:
    with EmbeddedServer(["--log-level", "error"]) as server:
        ghz = Ghz(str(tools.root / "bin" / "ghz"), server.address, tmp_path)
        loops = ghz.run(closed(4, 2, ("--total=10",)))
        rate = ghz.run(opened(0.5, 4.0, 5.0))
        streams = ghz.run(stream(1, ("--total=2",)))
        photos = answered(server.http)
    for result, calls in ((loops, 10), (rate, 10), (streams, 2)):
        assert result.calls == calls
        assert dict(result.codes) == {"OK": calls}
        assert 0 < result.latency(50) <= result.latency(95) <= result.latency(99)
        assert result.rate > 0
    # ghz does not look at what a stream says of a photo.
    assert photos == {("Reconstruct", "OK"): 20, ("ReconstructMany", "OK"): 2 * STREAM_PHOTOS}
