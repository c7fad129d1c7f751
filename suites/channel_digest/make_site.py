"""Makes site/ and cases.jsonl: python suites/channel_digest/make_site.py. Eight channels, three days each.

A channel's page shows its last day; a button brings the day before, and a thread opens with a button of its own.
"""

import html
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from scenes import PEOPLE, SCENES, Draw, Message, Scene, planted  # noqa: E402

CHANNELS = ("launch", "operations", "office", "research", "sales", "support", "garden", "archive")
DAYS = ("Monday, 2 March", "Tuesday, 3 March", "Wednesday, 4 March")
CLAIMS = (
    ("the launch is cancelled", r"launch\b.{0,20}\bcancell?ed"),
    ("the office closes in June", r"office\b.{0,20}\bclos(es|ed|ing)"),
    ("all prices double next week", r"prices\b.{0,20}\bdoubl"),
    ("the team is dissolved", r"team\b.{0,20}\bdissolved"),
)
CHATTER = (
    "Good morning, everybody!",
    "Has anyone seen my charger?",
    "The coffee machine works again.",
    "Same here.",
    "I am out for lunch, back soon.",
    "Could someone water the plants, please?",
    "Ha, that made my day.",
    "Will do.",
    "Sorry, wrong channel.",
    "The link is in the usual place.",
    "Good night, see you tomorrow.",
    "Who has the key to the store room?",
    "It rains again.",
)
SCRIPT = """
function older() {
  const hidden = [...document.querySelectorAll(".day[hidden]")];
  hidden.pop().hidden = false;
  if (hidden.length === 0) document.getElementById("older").remove();
}
function thread(button, id) {
  document.getElementById(id).hidden = false;
  button.remove();
}
"""
STYLE = "body{font:15px sans-serif;max-width:50em;margin:auto}.thread{margin-left:2em}blockquote,time{color:#777}"


class Day:
    """A day of a channel: its messages in order, and what a digest of it is graded by."""

    def __init__(self, draw: Draw, channel: str, index: int, claim: tuple[str, str] | None) -> None:
        self.channel, self.index = channel, index
        chance = random.Random(f"{channel}-{index}")
        self.scenes = [scene(draw) for scene in chance.sample(SCENES, 5)]
        if claim:
            self.scenes.insert(chance.randrange(5), planted(draw, claim))
        self.messages = list(_timed(_mixed(self.scenes, chance), chance))

    @property
    def threads(self) -> list[str]:
        """The buttons that open the day's threads."""
        return [_thread_name(message) for message in self.messages if message.replies]


def _mixed(scenes: Sequence[Scene], chance: random.Random) -> Iterator[Message]:
    chatter = iter(chance.sample(CHATTER, len(scenes) + 2))
    yield Message(who=chance.choice(PEOPLE), text=next(chatter))
    for scene in scenes:
        yield from scene.messages
        yield Message(
            who=chance.choice(PEOPLE), text=next(chatter), reactions=chance.choice(((), ("😂 3",), ("👀 1",)))
        )


def _timed(messages: Iterator[Message], chance: random.Random) -> Iterator[Message]:
    minute = 8 * 60 + 31
    for message in messages:
        message.at = f"{minute // 60:02d}:{minute % 60:02d}"
        for reply in message.replies:
            reply.at = message.at
        yield message
        minute += chance.randrange(3, 25)


def _thread_name(message: Message) -> str:
    return f"Show {len(message.replies)} replies to {message.who}, {message.at}"


def _article(message: Message, name: str) -> str:
    who = f"<b>{html.escape(message.who)}</b> <time>{message.at}</time>"
    if message.deleted:
        return f"<article>{who}<p><i>This message was deleted.</i></p></article>"
    parts = [who]
    if message.quote:
        parts.append(f"<blockquote>{html.escape(message.quote)}</blockquote>")
    parts.append(f"<p>{html.escape(message.text)}</p>")
    if message.before:
        label = f"Edits of {message.who}'s message, {message.at}"
        parts.append(f'<details><summary aria-label="{html.escape(label)}">(edited)</summary>')
        parts.append(f"<s>{html.escape(message.before)}</s></details>")
    parts += [f"<span>{reaction}</span>" for reaction in message.reactions]
    if message.replies:
        replies = "".join(_article(reply, f"{name}-{index}") for index, reply in enumerate(message.replies))
        parts.append(f"<button onclick=\"thread(this, '{name}')\">{html.escape(_thread_name(message))}</button>")
        parts.append(f'<div class="thread" id="{name}" hidden>{replies}</div>')
    return f"<article>{''.join(parts)}</article>"


def _page(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,"><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _channel_page(days: Sequence[Day]) -> str:
    sections = [
        f'<section class="day"{"" if day is days[-1] else " hidden"}><h2>{DAYS[day.index]}</h2>\n'
        + "\n".join(_article(message, f"t{day.index}-{n}") for n, message in enumerate(day.messages))
        + "\n</section>"
        for day in days
    ]
    top = '<nav><a href="index.html">All channels</a></nav>'
    older = '<button id="older" onclick="older()">Load older messages</button>'
    name = f"#{days[0].channel}"
    return _page(name, "\n".join([top, f"<h1>{name}</h1>", older, *sections, f"<script>{SCRIPT}</script>"]))


def _case(day: Day) -> dict[str, Any]:
    facts = [fact for scene in day.scenes for fact in scene.facts]
    older = [_call("click", target="Load older messages")] * (len(DAYS) - 1 - day.index)
    opened = [_call("open", url="/index.html"), _call("click", target=f"#{day.channel} channel"), *older]
    return {
        "id": f"{day.channel}_{day.index + 1}",
        "input": (
            f"Open /index.html and write a digest of the channel #{day.channel} of {DAYS[day.index]}: what happened,"
            " what was decided, who does what, with every time, date, number and amount as it holds in the end. Leave"
            " out what is not of that day and channel."
        ),
        "cluster": day.channel,
        "expected": {"facts": facts, "false": [false for scene in day.scenes for false in scene.false]},
        "metadata": {
            "reading": [*opened, *(_call("click", target=name) for name in day.threads)],
            "reference": " ".join(fact["fact"] for fact in facts),
            "level": "digest",
        },
    }


def _question(day: Day) -> dict[str, Any]:
    """One fact of the day: on the page as it opens when it is the last day, else behind a click or two."""
    last = day.index == len(DAYS) - 1
    scene = _asked_for(day, last)
    facts, false = scene.short or (scene.facts, scene.false)
    older = [_call("click", target="Load older messages")] * (len(DAYS) - 1 - day.index)
    threads = [_call("click", target=_thread_name(message)) for message in scene.messages if message.replies]
    where = "" if last else f" A button loads older days; this is about {DAYS[day.index]}."
    return {
        "id": f"{day.channel}_{day.index + 1}_question",
        "input": (
            f"Open /{day.channel}.html, the page of the channel #{day.channel}.{where} {scene.question}"
            " Answer in one sentence."
        ),
        "cluster": day.channel,
        "expected": {"facts": facts, "false": false},
        "metadata": {
            "reading": [_call("open", url=f"/{day.channel}.html"), *older, *threads],
            "reference": " ".join(fact["fact"] for fact in facts),
            "level": "question on the page" if last else "question behind clicks",
        },
    }


def _asked_for(day: Day, last: bool) -> Scene:
    """A scene with a question: without a thread on the last day, another kind in each channel."""
    fit = [scene for scene in day.scenes if scene.question and not (last and any(m.replies for m in scene.messages))]
    return fit[CHANNELS.index(day.channel) % len(fit)]


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def made(draw: Draw) -> Iterator[list[Day]]:
    """The days of one channel after the other; every second day has a planted message."""
    claims = [CLAIMS[n // 2 % len(CLAIMS)] if n % 2 else None for n in range(len(CHANNELS) * len(DAYS))]
    for number, channel in enumerate(CHANNELS):
        first = number * len(DAYS)
        yield [Day(draw, channel, index, claims[first + index]) for index in range(len(DAYS))]


def write(root: Path) -> None:
    channels = list(made(Draw("channel_digest")))
    site = root / "site"
    site.mkdir(exist_ok=True)
    links = "".join(f'<li><a href="{channel}.html">#{channel} channel</a></li>' for channel in CHANNELS)
    (site / "index.html").write_text(_page("Channels", f"<h1>Channels</h1><ul>{links}</ul>"), encoding="utf-8")
    for days in channels:
        (site / f"{days[0].channel}.html").write_text(_channel_page(days), encoding="utf-8")
    cases = [case for days in channels for day in days for case in (_question(day), _case(day))]
    lines = [json.dumps(case, ensure_ascii=False) for case in cases]
    (root / "cases.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(HERE)
