"""Run the node process: `python -m e2e.testbed.node RUN_FOLDER`."""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp

from e2e.testbed import credentials
from e2e.testbed.cache import envoy_binary, open_cache
from e2e.testbed.kube import AsyncKubeClient
from e2e.testbed.layout import VOLATILE, Layout
from e2e.testbed.node.agent import NodeAgent
from e2e.testbed.node.hosts import HostsFiles
from e2e.testbed.node.identity import CertificateAuthority
from e2e.testbed.node.pods import Machine
from e2e.testbed.node.tags import Tags
from e2e.testbed.node.targets import Targets


async def main(root: Path) -> None:
    """Be the node until a signal ends the process."""
    layout = Layout(root)
    async with aiohttp.ClientSession() as session:
        kube = AsyncKubeClient(session, layout.authority, credentials.NODE)
        machine = Machine(
            kube=kube,
            authority=layout.authority,
            certificates=CertificateAuthority(kube),
            pods_folder=layout.pods,
            envoy=envoy_binary(),
            programs=open_cache().programs,
            hosts=HostsFiles(VOLATILE / "hosts"),
            targets=Targets(layout.targets),
            tags=Tags(layout.tags),
        )
        node = asyncio.create_task(NodeAgent(machine).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, node.cancel)
        with suppress(asyncio.CancelledError):
            await node


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
