"""An exec plug-in of a kubeconfig, run such that none outlives its time.

The library's own run leaves a plug-in that hangs behind, with its pipes open, when it is given up.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

from canary.adapters.kube.library import ConfigException, ExecProvider

_REQUIRED = ("apiVersion", "kind", "status")


class Plugin(ExecProvider):
    """Ask an exec plug-in for credentials."""

    async def run(self, previous_response: str | None = None) -> Any:
        """Return the status of the plug-in's answer; a cancelled run is killed with all it started.

        Raises ConfigException for a failed run and for an answer that is no ExecCredential.
        """
        info = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
        process = await asyncio.create_subprocess_exec(
            *self.args,
            env={**self.env, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, complaint = await process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
            raise
        if process.returncode:
            said = complaint.decode(errors="replace").strip()
            raise ConfigException(f"exec: process returned {process.returncode}" + (f". {said}" if said else ""))
        return self._status(out)

    def _status(self, out: bytes) -> Any:
        try:
            answer = json.loads(out)
        except ValueError as fault:
            raise ConfigException(f"exec: the plug-in's answer is no JSON: {fault}") from fault
        missing = [key for key in _REQUIRED if not isinstance(answer, dict) or key not in answer]
        if missing:
            raise ConfigException(f"exec: the plug-in's answer lacks {', '.join(missing)}")
        if answer["apiVersion"] != self.api_version:
            said = answer["apiVersion"]
            raise ConfigException(f"exec: the plug-in answered as {said}, the kubeconfig asks for {self.api_version}")
        return answer["status"]
