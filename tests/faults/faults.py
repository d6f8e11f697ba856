"""What tests/kill and tests/sweep share: the library that makes a program's calls fail, and how a
program may end."""
import errno
import mmap
import os
import re
import struct
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KINDS = ["alloc", "open", "map", "thread", "socket", "read", "write", "sync", "files"]
ERRNO = {"alloc": errno.ENOMEM, "open": errno.EIO, "map": errno.ENOMEM, "thread": errno.EAGAIN,
         "socket": errno.ENOBUFS, "read": errno.EIO, "write": errno.EIO, "sync": errno.EIO,
         "files": errno.EIO}
WORDS = ["kinds", "nth", "every", "error", "count", "failed", "wall_offset_ns", "delay_kinds",
         "delay_ns"]
LIBRARIES = "libyaml,libjansson,libcurl,libmicrohttpd"


class Faults:
    """The control file of one program, or of several after each other."""

    def __init__(self, library, path, libraries=LIBRARIES):
        self.path, self.library, self.libraries = path, library, libraries
        with open(path, "wb") as f:
            f.write(bytes(4096))
        self.file = open(path, "r+b")
        self.memory = mmap.mmap(self.file.fileno(), 4096)

    def environment(self):
        return {"LD_PRELOAD": self.library, "HF_FAULTS": self.path,
                "HF_FAULTS_FROM": self.libraries}

    def get(self, word):
        at = 8 * WORDS.index(word)
        return struct.unpack_from("<q", self.memory, at)[0]

    def put(self, **values):
        for word, value in values.items():
            struct.pack_into("<q", self.memory, 8 * WORDS.index(word), value)

    def off(self):
        self.put(kinds=0, nth=0, every=0, count=0, failed=0, delay_kinds=0)

    def fail(self, kind, nth, every=0, error=None):
        """From now on the nth call of this kind fails, and then each `every`-th."""
        self.off()
        self.put(nth=nth, every=every, error=error or ERRNO[kind])
        self.put(kinds=1 << KINDS.index(kind))

    def close(self):
        self.memory.close()
        self.file.close()


def exit_codes():
    """The daemon's, from the one list of them."""
    with open(os.path.join(ROOT, "api", "daemon", "exit_code.h"), encoding="utf-8") as f:
        return {int(n): name for n, name in re.findall(r"X\((\d+), (\w+),", f.read())}


def build(folder, targets):
    """Builds in FOLDER, making it if need be; the paths of the targets."""
    import subprocess
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        subprocess.run(["meson", "setup", folder, ROOT], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["ninja", "-C", folder, *targets], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        sys.exit(done.stdout[-4000:] + done.stderr)
    return [os.path.join(folder, t) for t in targets]


def wait_until(what, seconds, step=0.01):
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True
