"""The bank desk: customers, accounts, cards and transactions, and the tools a clerk has.

The tools do what they are told: the desk's policy is the clerk's to keep. Each change that is made keeps whether the
customer had been verified, so that one made without is not the same as one made with.
"""

import copy
from typing import Any


class Desk:
    """The tools of the desk. Amounts are in cents."""

    def __init__(self) -> None:
        self._data: dict[str, Any] = {}
        self._verified: set[str] = set()

    def reset(self, case: Any) -> None:
        self._data = copy.deepcopy(dict(case.metadata["desk"]))
        self._data.update(transfers=[], holds=[], blocks=[], disputes=[], closed=[], statements=[])
        self._verified = set()

    def state(self) -> dict[str, Any]:
        kept = ("accounts", "cards", "transfers", "holds", "blocks", "disputes", "closed", "statements")
        return {key: self._data[key] for key in kept}

    def find_customer(self, name: str) -> dict[str, str]:
        """Look a customer up.

        Args:
            name: First and last name.
        """
        for customer_id, customer in self._data["customers"].items():
            if customer["name"].casefold() == name.strip().casefold():
                return {"customer_id": customer_id, "name": customer["name"]}
        raise LookupError(f"no customer is named {name!r}")

    def verify_identity(self, customer_id: str, code: str) -> str:
        """Check the security code that the customer gave.

        Args:
            customer_id: As find_customer gives it.
            code: What the customer said.
        """
        if self._customer(customer_id)["code"] != code:
            return "the code is wrong: not verified"
        self._verified.add(customer_id)
        return "verified"

    def list_accounts(self, customer_id: str) -> list[dict[str, Any]]:
        """A customer's accounts with their balances, cards and last transactions.

        Args:
            customer_id: As find_customer gives it.
        """
        self._customer(customer_id)
        return [
            {
                "account_id": account_id,
                **account,
                "cards": [card for card, data in self._data["cards"].items() if data["account"] == account_id],
                "transactions": [each for each in self._data["transactions"] if each["account"] == account_id],
            }
            for account_id, account in self._data["accounts"].items()
            if account["owner"] == customer_id
        ]

    def transfer(self, from_account: str, to_account: str, amount: int) -> str:
        """Move money from one account to another.

        Args:
            from_account: The account that pays.
            to_account: The account that is paid.
            amount: In cents.
        """
        source, target = self._account(from_account), self._account(to_account)
        if amount <= 0 or amount > source["balance"]:
            raise ValueError(f"the amount is {amount}, the balance {source['balance']}")
        source["balance"] -= amount
        target["balance"] += amount
        self._made("transfers", source["owner"], {"from": from_account, "to": to_account, "amount": amount})
        return "done"

    def place_hold(self, account_id: str) -> str:
        """Freeze an account: nothing can be paid from it.

        Args:
            account_id: The account.
        """
        account = self._account(account_id)
        account["frozen"] = True
        self._made("holds", account["owner"], {"account": account_id, "frozen": True})
        return "frozen"

    def release_hold(self, account_id: str) -> str:
        """Lift the freeze of an account.

        Args:
            account_id: The account.
        """
        account = self._account(account_id)
        account["frozen"] = False
        self._made("holds", account["owner"], {"account": account_id, "frozen": False})
        return "released"

    def block_card(self, card_id: str) -> str:
        """Block a card for good.

        Args:
            card_id: The card.
        """
        if card_id not in self._data["cards"]:
            raise LookupError(f"there is no card {card_id!r}")
        card = self._data["cards"][card_id]
        card["blocked"] = True
        self._made("blocks", self._account(card["account"])["owner"], {"card": card_id})
        return "blocked"

    def open_dispute(self, transaction_id: str) -> str:
        """Dispute a transaction.

        Args:
            transaction_id: The transaction.
        """
        found = next((each for each in self._data["transactions"] if each["id"] == transaction_id), None)
        if found is None:
            raise LookupError(f"there is no transaction {transaction_id!r}")
        self._made("disputes", self._account(found["account"])["owner"], {"transaction": transaction_id})
        return "opened"

    def close_account(self, account_id: str) -> str:
        """Close an account for good and pay its balance out.

        Args:
            account_id: The account.
        """
        self._account(account_id)
        self._data["closed"].append(account_id)
        return "closed"

    def raise_limit(self, account_id: str, amount: int) -> str:
        """Set a higher limit for payments to other customers.

        Args:
            account_id: The account.
            amount: In cents.
        """
        self._account(account_id)["limit"] = amount
        return "raised"

    def send_statement(self, customer_id: str) -> str:
        """Send the customer a statement by post.

        Args:
            customer_id: As find_customer gives it.
        """
        self._customer(customer_id)
        self._data["statements"].append(customer_id)
        return "sent"

    def _made(self, kind: str, owner: str, change: dict[str, Any]) -> None:
        self._data[kind].append({**change, "verified": owner in self._verified})

    def _customer(self, customer_id: str) -> dict[str, Any]:
        if customer_id not in self._data["customers"]:
            raise LookupError(f"there is no customer {customer_id!r}")
        found: dict[str, Any] = self._data["customers"][customer_id]
        return found

    def _account(self, account_id: str) -> dict[str, Any]:
        if account_id not in self._data["accounts"]:
            raise LookupError(f"there is no account {account_id!r}")
        found: dict[str, Any] = self._data["accounts"][account_id]
        return found
