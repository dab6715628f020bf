"""What a reference prints: the same line of JSON as moondrop-bench."""

import json
import resource
import time


class Clock:
    """From the first byte read to the last one made; importing a library does not count."""

    def __init__(self):
        self.cpu = self._cpu()
        self.began = time.perf_counter()

    @staticmethod
    def _cpu():
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def stop(self, size, rows):
        seconds = time.perf_counter() - self.began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cpu = self._cpu() - self.cpu
        print(json.dumps({"bytes": size, "rows": rows, "seconds": round(seconds, 4), "cpu_seconds": round(cpu, 2), "peak_rss_mib": round(peak, 1)}))
