"""A steady load over kept connections, each of whose failures is known by time and reason."""

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Result:
    """What became of the requests."""

    answered: Counter = field(default_factory=Counter)
    failures: list[tuple[float, str]] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.answered.values()) + len(self.failures)

    def __str__(self) -> str:
        codes = ", ".join(f"{count} × {code}" for code, count in sorted(self.answered.items()))
        reasons = Counter(reason for _, reason in self.failures)
        failed = "".join(f", {count} × {reason}" for reason, count in reasons.most_common(5))
        return f"{self.total} requests: {codes}{failed}; slowest {self.slowest * 1000:.0f} ms"


class Load:
    """Requests at a rate, from several clients, until told to stop. A client opens a new connection where the answer
    said that the old one is closed, and counts a failure wherever a request got no answer."""

    def __init__(self, address: str, path: str = "/", host: str = "", port: int = 80, per_second: int = 500,
                 clients: int = 10, timeout: float = 10):
        self.timeout = timeout
        self.target = (address, port, path, host or address)
        self.pause = clients / per_second
        self.result = Result()
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.start = time.monotonic()
        self.threads = [threading.Thread(target=self.client, args=(at / per_second,), daemon=True) for at in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def client(self, offset: float) -> None:
        address, port, path, host = self.target
        connection = http.client.HTTPConnection(address, port, timeout=self.timeout)
        due = time.monotonic() + offset
        while not self.ended.is_set():
            due = max(due + self.pause, time.monotonic() - 1.0)
            time.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            try:
                connection.request("GET", path, headers={"Host": host})
                answer = connection.getresponse()
                answer.read()
                with self.lock:
                    self.result.answered[answer.status] += 1
                    self.result.slowest = max(self.result.slowest, time.monotonic() - began)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with self.lock:
                    self.result.failures.append((began - self.start, f"{type(error).__name__} {error}"))
