"""Python stubs of the API, made where a test wants them. Needs protoc and Debian's gRPC plugin.

    import stubs
    stubs.load()          # afterwards: from holdfast.v1 import reservation_pb2, ...
"""
import atexit
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PLUGIN = "grpc_python_plugin"
SKIPPED = 77  # how a test tells meson that it cannot run here


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def load():
    """Puts the stubs on the path of modules, or ends the test as skipped."""
    try:
        import grpc  # noqa: F401
    except ImportError:
        skip("python3-grpcio is not installed")
    plugin = shutil.which(PLUGIN)
    if not plugin or not shutil.which("protoc"):
        skip("protoc or protobuf-compiler-grpc is not installed")
    folder = tempfile.mkdtemp(prefix="holdfast-stubs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    proto = os.path.join(ROOT, "proto")
    # The health service and google.rpc are the standard's: their stubs come from the same files.
    files = ["holdfast/v1/common.proto", "holdfast/v1/reservation.proto",
             "holdfast/v1/stock_read.proto", "holdfast/v1/stock_admin.proto",
             "holdfast/v1/erp.proto",
             "grpc/health/v1/health.proto", "google/rpc/status.proto"]
    for name in files:
        # A folder named `grpc` would hide the library: that one goes without its first folder.
        source, target = proto, folder
        if name.startswith("grpc/"):
            source, name = os.path.join(proto, "grpc"), name[len("grpc/"):]
        subprocess.run(["protoc", "-I", source, f"--plugin=protoc-gen-grpc={plugin}",
                        f"--python_out={target}", f"--grpc_out={target}", name], check=True)
    # `google` is taken by the protobuf library: the status stands beside it.
    shutil.move(os.path.join(folder, "google", "rpc", "status_pb2.py"),
                os.path.join(folder, "rpc_status_pb2.py"))
    shutil.rmtree(os.path.join(folder, "google"))
    sys.path.insert(0, folder)
