"""A server process and a foreign client for it: stubs made at test time by protoc and Debian's
gRPC plugin, so that nothing of the project speaks on the client's side."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

SKIP = 77  # meson's code for a test that cannot run here


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIP)


try:
    import grpc
    import google.protobuf  # noqa: F401
except ImportError:
    # Debian's packages are for Debian's interpreter, which need not be the first one.
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3"] + sys.argv)
    skip("needs python3-grpcio and python3-protobuf")

PLUGIN = shutil.which("grpc_python_plugin")
if not PLUGIN or not shutil.which("protoc"):
    skip("needs protoc and grpc_python_plugin (protobuf-compiler-grpc)")

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def make_stubs(out):
    """Generates holdfast.v1 as it is, and the protocols of gRPC beside the installed packages'
    names, which would hide them."""
    source = os.path.join(out, "proto")
    os.makedirs(source)
    proto = os.path.join(ROOT, "proto")
    files = []
    for name in ("common", "reservation", "stock_read", "stock_admin", "packet", "erp"):
        files.append(f"holdfast/v1/{name}.proto")
        os.makedirs(os.path.join(source, "holdfast/v1"), exist_ok=True)
        shutil.copy(os.path.join(proto, files[-1]), os.path.join(source, files[-1]))
    for path, name in (("grpc/health/v1/health.proto", "hf_health.proto"),
                       ("grpc/reflection/v1/reflection.proto", "hf_reflection.proto"),
                       ("grpc/reflection/v1alpha/reflection.proto", "hf_reflection_alpha.proto"),
                       ("google/rpc/status.proto", "hf_status.proto")):
        shutil.copy(os.path.join(proto, path), os.path.join(source, name))
        files.append(name)
    subprocess.run(["protoc", "-I", source, f"--python_out={out}", f"--grpc_python_out={out}",
                    f"--plugin=protoc-gen-grpc_python={PLUGIN}", *files], check=True)
    sys.path.insert(0, out)


OPTIONS = {"--listen": "127.0.0.1:0", "--cells-max": "20000", "--ids-max": "200000",
           "--blocks-max": "20000", "--segment-bytes": "8MiB", "--segments-max": "16",
           "--grpc-pollers": "2", "--watchers-max": "8"}


class Server:
    """One life of holdfastd, with small limits unless `more` has others; `with` ends it in order
    and wants exit code 0."""

    def __init__(self, program, folder, *more, admin=""):
        small = [word for pair in OPTIONS.items() if pair[0] not in more for word in pair]
        self.process = subprocess.Popen([program, "--data-folder", folder, "--admin-listen", admin,
                                         "--no-huge-pages", *small, *more],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, restore_signals=False)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if "event=serving" in line:
                break
        else:
            raise RuntimeError(f"{program} ended with {self.process.wait()}: {self.log}")
        self.address = f"127.0.0.1:{re.search(r' port=([0-9]+)', line).group(1)}"
        self.reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,),
                                       daemon=True)  # a full pipe would hold the server up
        self.reader.start()

    def channel(self, *more):
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1),
                                                            *more])

    def narrow_channel(self):
        """One whose streams take 64 KiB and no more before somebody reads."""
        return self.channel(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535))

    def ended(self, timeout=60):
        code = self.process.wait(timeout)
        self.reader.join()
        self.process.stderr.close()
        return code

    def kill(self):
        self.process.kill()
        self.ended()

    def terminate(self):
        self.process.terminate()

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def stop(self):
        self.terminate()
        code = self.ended()
        if code != 0:
            raise RuntimeError(f"the server ended with {code}: {self.log[-5:]}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind:
            self.kill()
        else:
            self.stop()


def scratch():
    return tempfile.TemporaryDirectory(prefix="holdfast-clients.")
