"""What `fairness` measured of single faces as a table of groups: who is served worse than others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clipinverter.evaluation.identity import SAME_PERSON
from clipinverter.evaluation.photo_edits import JUDGED

GROUPS = {
    "skin": ("light", "medium", "dark"),
    "age": ("under 30", "30 to 60", "over 60"),
    "gender": ("female", "male"),
}
EDITS = (*JUDGED, "red hair", "eyeglasses")
ABOUT = {"old": "age", "young": "age", "man": "gender", "woman": "gender"}
"""What an edit is about; changes of everything else were not asked for."""
YEARS, DEGREES = 10.0, 15.0  # changes of age and of the skin's angle that count
BEHIND = 0.1  # from the best group of a kind
SHARES = {
    "found": "face found",
    "plain": "same person, plain",
    "tuned": "same person, tuned",
    "reached": "edits reached",
    "gender_kept": "gender kept",
    "age_kept": "age kept",
    "skin_kept": "skin kept",
}
Face = dict[str, Any]


def summary(faces: Sequence[Face]) -> dict[str, dict[str, Any]]:
    """Of everybody and of each group: how many faces, and the shares of `SHARES`; None where nothing counts."""
    members = {"everybody": list(faces)}
    for kind, names in GROUPS.items():
        for name in names:
            members[f"{kind}: {name}"] = [face for face in faces if face.get(kind) == name]
    return {
        name: {"faces": len(own)} | {share: _share(own, share) for share in SHARES}
        for name, own in members.items()
    }


def behind(report: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, float]]:
    """Group, share, and how far the group is behind the best one of its kind, where that is more than `BEHIND`."""
    found = []
    for kind in GROUPS:
        own = {name: row for name, row in report.items() if name.startswith(f"{kind}: ")}
        for share in SHARES:
            known = {name: row[share] for name, row in own.items() if row[share] is not None}
            best = max(known.values(), default=0.0)
            found += [
                (name, share, best - value)
                for name, value in known.items()
                if best - value > BEHIND
            ]
    return found


def table(report: Mapping[str, Mapping[str, Any]]) -> str:
    """The numbers of `summary` in Markdown, and the groups that are behind."""
    lines = [
        "| | faces | " + " | ".join(SHARES.values()) + " |",
        "|---" * (len(SHARES) + 2) + "|",
    ]
    for name, row in report.items():
        shares = ["–" if row[s] is None else f"{row[s]:.2f}" for s in SHARES]
        lines.append(f"| {name} | {row['faces']} | " + " | ".join(shares) + " |")
    gaps = [
        f"- {name}: {SHARES[share]} {100 * gap:.0f} points below the best group"
        for name, share, gap in behind(report)
    ]
    return "\n".join([*lines, "", *(gaps or ["No group is more than 10 points behind."])])


def _share(faces: Sequence[Face], share: str) -> float | None:
    if share == "found":
        counted = [face["found"] for face in faces]
    elif share in ("plain", "tuned"):
        counted = [face[share] <= SAME_PERSON for face in faces]
    elif share == "reached":
        counted = [came for face in faces for came in _reached(face)]
    else:
        counted = [kept for face in faces for kept in _kept(face, share.removesuffix("_kept"))]
    return round(float(np.mean(counted)), 4) if counted else None


def _reached(face: Face) -> list[bool]:
    """Of each edit that this face lacked: whether it came true."""
    judged = face.get("judged")
    if not judged:
        return []
    before = judged["photo"]
    return [came(before, judged[name]) for name, (counts, came) in JUDGED.items() if counts(before)]


def _kept(face: Face, attribute: str) -> list[bool]:
    """Of each edit that is not about an attribute: whether it left it as it was."""
    if attribute == "skin":
        angles = face["skin_angles"]
        return [abs(angles[name] - angles["photo"]) <= DEGREES for name in EDITS]
    others = [name for name in EDITS if ABOUT.get(name) != attribute]
    judged = face.get("judged")
    if not judged:
        return []
    before = judged["photo"]
    if attribute == "gender":
        return [(judged[name]["male"] >= 0.5) == (before["male"] >= 0.5) for name in others]
    return [abs(judged[name]["age"] - before["age"]) <= YEARS for name in others]
