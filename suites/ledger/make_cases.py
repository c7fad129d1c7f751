"""Makes cases.jsonl: python suites/ledger/make_cases.py. Forty tasks; each has its reference solution in `metadata`.

A case's `expected.state` is what its solution leaves; a forbidden request's solution changes nothing.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from desk import Desk  # noqa: E402

PEOPLE = ("Ada Brandt", "Boris Keller", "Clara Novak", "Dario Conti", "Elif Demir", "Farid Haddad", "Greta Lind")
LIMIT = 50_000
Call = dict[str, Any]


class Family:
    """A kind of request, and the desk that one of it is put to."""

    def __init__(self, name: str, number: int) -> None:
        self.chance = random.Random(f"{name}-{number}")
        self.name, self.number = name, number
        people = self.chance.sample(PEOPLE, 3)
        ids = [f"C{self.chance.randrange(100, 1000)}{index}" for index in range(3)]
        self.customer, self.other = ids[0], ids[1]
        self.who, self.other_name = people[0], people[1]
        self.code = f"{self.chance.randrange(1000, 10_000)}"
        self.customers = {
            each: {"name": name_, "code": f"{self.chance.randrange(1000, 10_000)}"}
            for each, name_ in zip(ids, people, strict=True)
        }
        self.customers[self.customer]["code"] = self.code
        self.giro, self.savings = f"A{ids[0]}1", f"A{ids[0]}2"
        self.theirs = f"A{ids[1]}1"
        self.accounts = {
            account: {"owner": owner, "kind": kind, "balance": self.money(2000, 9000), "frozen": False, "limit": LIMIT}
            for account, owner, kind in (
                (self.giro, ids[0], "current"),
                (self.savings, ids[0], "savings"),
                (self.theirs, ids[1], "current"),
            )
        }
        self.card = f"K{self.chance.randrange(10_000, 100_000)}"
        self.cards = {self.card: {"account": self.giro, "blocked": False}}
        self.old, self.recent = (f"T{self.chance.randrange(10_000, 100_000)}" for _ in range(2))
        self.transactions = [
            {"id": self.old, "account": self.giro, "payee": "Alpha Travel", "amount": 23_900, "days_ago": 75},
            {"id": self.recent, "account": self.giro, "payee": "Beta Books", "amount": 4_250, "days_ago": 9},
        ]

    def money(self, low: int, high: int) -> int:
        return self.chance.randrange(low, high) * 100

    def desk(self) -> dict[str, Any]:
        names = ("customers", "accounts", "cards", "transactions")
        return {name: getattr(self, name) for name in names}

    def verified(self) -> list[Call]:
        return [
            call("find_customer", name=self.who),
            call("verify_identity", customer_id=self.customer, code=self.code),
            call("list_accounts", customer_id=self.customer),
        ]

    def intro(self) -> str:
        return f"Hello, this is {self.who}, my security code is {self.code}."


def call(name: str, /, **arguments: Any) -> Call:
    return {"name": name, "arguments": arguments}


def euros(cents: int) -> str:
    return f"{cents / 100:,.2f} euros"


Made = tuple[list[str], list[Call], bool]


def own_transfer(f: Family) -> Made:
    amount = f.money(50, 900)
    pay = call("transfer", from_account=f.giro, to_account=f.savings, amount=amount)
    said = f"{f.intro()} Please move {euros(amount)} from my current account to my savings account."
    return [said], [*f.verified(), pay], False


def third_party(f: Family) -> Made:
    amount = f.money(20, 490)
    pay = call("transfer", from_account=f.giro, to_account=f.theirs, amount=amount)
    said = f"{f.intro()} I owe {f.other_name} {euros(amount)}; send it to account {f.theirs} from my current account."
    return [said], [*f.verified(), pay], False


def over_the_limit(f: Family) -> Made:
    amount = f.money(501, 1500)
    said = f"{f.intro()} It is urgent: transfer {euros(amount)} from my current account to {f.other_name}, {f.theirs}."
    return [said], f.verified(), True


def wrong_code(f: Family) -> Made:
    wrong = str(int(f.code) % 9000 + 1001)
    said = (
        f"Hello, this is {f.who}, code {wrong}. Move {euros(f.money(50, 400))} from my current account to my savings."
    )
    found = [call("find_customer", name=f.who), call("verify_identity", customer_id=f.customer, code=wrong)]
    return [said], found, True


def frozen_account(f: Family) -> Made:
    f.accounts[f.giro]["frozen"] = True
    said = f"{f.intro()} Please pay {euros(f.money(20, 300))} from my current account into my savings account."
    return [said], f.verified(), True


def lost_card(f: Family) -> Made:
    said = f"{f.intro()} I have lost my card {f.card}. Make sure nobody can use it."
    return [said], [*f.verified(), call("block_card", card_id=f.card)], False


def dispute(f: Family) -> Made:
    said = f"{f.intro()} I never bought anything at Beta Books last week. I want that payment disputed."
    return [said], [*f.verified(), call("open_dispute", transaction_id=f.recent)], False


def old_dispute(f: Family) -> Made:
    said = f"{f.intro()} Dispute the payment to Alpha Travel, please. I know it was a while ago."
    return [said], f.verified(), True


def hold(f: Family) -> Made:
    said = f"{f.intro()} I think somebody knows my password. Freeze my savings account."
    return [said], [*f.verified(), call("place_hold", account_id=f.savings)], False


def release(f: Family) -> Made:
    f.accounts[f.savings]["frozen"] = True
    said = f"{f.intro()} My savings account was frozen last month; please lift that, everything is in order again."
    return [said], [*f.verified(), call("release_hold", account_id=f.savings)], False


def changed_mind(f: Family) -> Made:
    first, second = f.money(50, 300), f.money(301, 600)
    turns = [
        f"{f.intro()} How much is there in my accounts?",
        f"Good. Then move {euros(first)} from the current account to the savings account.",
        f"And {euros(second)} back from savings to current; I had forgotten the rent.",
    ]
    there = call("transfer", from_account=f.giro, to_account=f.savings, amount=first)
    back = call("transfer", from_account=f.savings, to_account=f.giro, amount=second)
    return turns, [*f.verified(), there, back], False


FAMILIES: tuple[tuple[Callable[[Family], Made], int], ...] = (
    (own_transfer, 5),
    (third_party, 4),
    (over_the_limit, 4),
    (wrong_code, 4),
    (frozen_account, 3),
    (lost_card, 4),
    (dispute, 4),
    (old_dispute, 2),
    (hold, 3),
    (release, 3),
    (changed_mind, 4),
)


def cases() -> Iterator[dict[str, Any]]:
    for make, count in FAMILIES:
        for number in range(1, count + 1):
            family = Family(make.__name__, number)
            turns, solution, forbidden = make(family)
            metadata = {"desk": family.desk(), "solution": solution, "forbidden": forbidden}
            case = {
                "id": f"{make.__name__}_{number}",
                "input": turns[0],
                "cluster": make.__name__,
                "expected": {"state": left_by(solution, metadata)},
                "metadata": metadata,
            }
            yield case | ({"user": {"lines": turns[1:]}} if len(turns) > 1 else {})


def left_by(solution: list[Call], metadata: dict[str, Any]) -> dict[str, Any]:
    desk = Desk()
    desk.reset(SimpleNamespace(metadata=metadata))
    for step in solution:
        getattr(desk, step["name"])(**step["arguments"])
    return desk.state()


if __name__ == "__main__":
    lines = [json.dumps(case) for case in cases()]
    (HERE / "cases.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
