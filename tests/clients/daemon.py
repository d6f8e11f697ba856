"""A real holdfastd for tests: on a temporary folder, a free port of loopback, and small.

    with Daemon(HOLDFASTD, folder) as d:
        d.address          # "127.0.0.1:41234"
        d.kill()           # kill -9
        d.start()          # the same folder and port again
"""
import re
import signal
import subprocess
import threading
import time

SMALL = {"cells-max": "50000", "ids-max": "300000", "blocks-max": "20000", "segment-bytes": "4MiB",
         "checkpoint-bytes": "4MiB", "checkpoint-interval": "1s", "listener-check": "0",
         "admin-listen": ""}
START_S = 60


class Daemon:
    def __init__(self, program, folder, **options):
        """options: of holdfastd, with _ for -, over those in SMALL."""
        self.program, self.folder, self.port = program, folder, 0
        self.options = {**SMALL, **{k.replace("_", "-"): v for k, v in options.items()}}
        self.process, self.log = None, []
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        args = [self.program, "--data-folder", self.folder, "--listen", self.address]
        for name, value in self.options.items():
            args += [f"--{name}", value] if value is not True else [f"--{name}"]
        self.process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True, env={})
        serving = threading.Event()
        threading.Thread(target=self.read, args=(self.process.stderr, serving),
                         daemon=True).start()
        if not serving.wait(START_S) or self.port == 0:
            self.process.kill()
            raise RuntimeError("holdfastd does not serve:\n" + "\n".join(self.log[-20:]))

    def read(self, stderr, serving):
        with stderr:
            for line in stderr:
                self.log.append(line.rstrip())
                found = re.search(r"\bserving\b.*\bport=(\d+)", line)
                if found:
                    self.port = int(found.group(1))
                    serving.set()
        serving.set()  # ended

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """By SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(START_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()


def wait_until(true, seconds=60):
    """Waits for what a thread or a process will do."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)
