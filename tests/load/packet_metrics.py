"""What a server.Server, with an admin listener, tells of packets."""
import re
import time
import urllib.request


class Metrics(dict):
    """By name, without holdfast_packet_."""

    def __init__(self, server):
        end = time.monotonic() + 60
        text = None
        while text is None:  # it listens before it says where
            try:
                port = re.findall(r"admin_port=([0-9]+)", server.told())[-1]
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
                    text = page.read().decode()
            except (IndexError, OSError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        super().__init__((name, int(value)) for name, value in re.findall(
            r"^holdfast_packet_(\S+) ([0-9]+)$", text, re.M))

    def port(self, *names):
        return sum(self[f"port_{name}_total"] for name in names)

    def causes(self):
        return {cause: self[f'dropped_total{{cause="{cause}"}}'] for cause in re.findall(
            r'dropped_total{cause="([A-Z]+)"}', "\n".join(self))}
