"""Which day it is, for waivers, which hold until a day."""

from __future__ import annotations

import datetime

from entropylaw.printing import note
from entropylaw.repository.git import run_git


def read_today() -> datetime.date:
    """Today by the machine's clock, or the day of the last commit here where the clock is behind it.

    A clock that lags, as on a machine that starts in 1970, would let expired waivers hold again. stderr is told of it.
    A clock that runs ahead ends waivers early, which lets nothing through.
    """
    today = datetime.date.today()
    seconds = run_git("log", "-1", "--format=%ct")
    try:
        committed = datetime.date.fromtimestamp(int(seconds)) if seconds else today
    except (ValueError, OverflowError, OSError):  # a day that no date can be: as late as there is one
        committed = datetime.date.max
    # The clocks of two machines differ a little, and so may their dates around midnight.
    if committed - today <= datetime.timedelta(days=1):
        return today
    note(
        f"entropylaw: the clock says {today}, and the last commit is of {committed}: set the clock; waivers are judged "
        f"as of {committed}"
    )
    return committed
