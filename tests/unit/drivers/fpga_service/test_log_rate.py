"""A stranger cannot fill the journal, and no error is left out."""

from __future__ import annotations

import logging

from focusrail_drivers.fpga_service.log_rate import LogRate


def test_so_many_lines_pass_and_the_next_says_how_many_did_not(caplog):
    log = logging.getLogger("test.log_rate")
    rate = LogRate(lines=3, period_s=0.2)
    log.addFilter(rate)
    with caplog.at_level(logging.INFO, "test.log_rate"):
        for number in range(10):
            log.info("connected: %d", number)
        log.error("it broke")
        assert caplog.messages == ["connected: 0", "connected: 1", "connected: 2", "it broke"]
        rate._period_s = 0.0  # time passes
        log.warning("refused %s", "one")
    assert caplog.messages[-1] == "refused one (before it, 7 lines were left out)"
    log.removeFilter(rate)
