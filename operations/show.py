"""`recharge show`: the whole story of one record, from the ledger and from Temporal."""

from dataclasses import dataclass

from activities.ledger import Story
from operations.runs import Run
from operations.telling import Discretion, Json, time
from operations.whole import whole_json
from recharge.outcome import FINAL_STATES


@dataclass(frozen=True, slots=True)
class Seen:
    """What both servers have of one record."""

    story: Story
    run: Run | None
    """The newest run of its workflow; None where there is none, or where Temporal was not reached."""
    temporal_problem: str | None = None
    web_ui_url: str | None = None
    """Where the workflow stands in Temporal's Web UI; None where nobody told us the address of that."""


def as_json(seen: Seen, discretion: Discretion) -> dict[str, Json]:
    """The story as one JSON object. Fields may be added to it, and none is taken away."""
    story = seen.story
    return whole_json(story, discretion) | {
        "updated_at": time(story.record["updated_at"]),
        "same_content_as": story.twin,
        "workflow": None if seen.run is None else {"run_id": seen.run.run_id, "status": seen.run.status},
        "temporal_problem": seen.temporal_problem,
        "web_ui_url": seen.web_ui_url,
        "first_open_offset": story.first_open_offset,
        "holds_lane": holds_lane(seen),
    }


def holds_lane(seen: Seen) -> bool:
    """Whether the record is the first of its partition that is not done, so that no offset after it can be committed."""
    story = seen.story
    if story.state in FINAL_STATES:
        return seen.run is not None and seen.run.ended_early
    return bool(story.first_open_offset == story.record["record_offset"])
