"""An idle process that only ticks, as a control: prints its longest stall in seconds when its input ends."""

from __future__ import annotations

import sys
import threading
import time


def main() -> None:
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    longest = 0.0
    while not ended.is_set():
        began = time.perf_counter()
        time.sleep(0.005)
        longest = max(longest, time.perf_counter() - began - 0.005)
    print(longest)


if __name__ == "__main__":
    main()
