"""The dummy producer: hands the three seed records to a command that puts them on the topic."""

import asyncio
import json
import shlex
from collections.abc import Sequence

from devstack.simulator.answers import json_answer
from devstack.simulator.seed import seed_records
from devstack.simulator.wire import Answer

PRODUCER_TIMEOUT_S = 60.0


class Producer:
    """Runs the producer's command. Without one every call is answered by 501."""

    def __init__(self, command: str | None) -> None:
        self._command: Sequence[str] = shlex.split(command) if command else ()

    async def run(self) -> Answer:
        """Send the seed records, one JSON object a line, to the command's stdin; its output is the answer's."""
        if not self._command:
            return json_answer(501, {"error": "no producer: start the simulator with --producer-command"})
        records = seed_records()
        lines = "".join(json.dumps(record) + "\n" for record in records)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            return json_answer(502, {"error": f"the producer {self._command[0]} cannot be started: {error}"})
        try:
            async with asyncio.timeout(PRODUCER_TIMEOUT_S):
                output, _ = await process.communicate(lines.encode())
        except TimeoutError:
            return json_answer(504, {"error": f"the producer did not end within {PRODUCER_TIMEOUT_S:g} s"})
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        result = {"exitStatus": process.returncode, "output": output.decode(errors="replace"), "records": records}
        return json_answer(502 if process.returncode else 200, result)
