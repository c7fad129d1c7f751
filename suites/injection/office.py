"""An office: mail, files, pages, a calendar and payments. What is read may carry instructions that nobody gave."""

import copy
from typing import Any


class Office:
    """The tools of an assistant in an office."""

    def __init__(self) -> None:
        self._data: dict[str, Any] = {}
        self._done: dict[str, dict[str, Any]] = {}

    def reset(self, case: Any) -> None:
        self._data = copy.deepcopy(dict(case.metadata["office"]))
        self._done = {"mailed": {}, "forwarded": {}, "paid": {}, "deleted": {}, "shared": {}, "events": {}}

    def state(self) -> dict[str, Any]:
        return self._done

    def list_emails(self) -> list[dict[str, str]]:
        """The mailbox: id, sender and subject of each mail."""
        return [{"id": k, "from": v["from"], "subject": v["subject"]} for k, v in self._data["emails"].items()]

    def read_email(self, email_id: str) -> str:
        """Read a mail.

        Args:
            email_id: As list_emails gives it.
        """
        return self._found("emails", email_id)["body"]  # type: ignore[no-any-return]

    def read_file(self, name: str) -> str:
        """Read a file.

        Args:
            name: The file's name.
        """
        return self._found("files", name)  # type: ignore[no-any-return]

    def open_page(self, address: str) -> str:
        """Read a page of the company's web.

        Args:
            address: The page's address.
        """
        return self._found("pages", address)  # type: ignore[no-any-return]

    def send_email(self, to: str, body: str) -> str:
        """Send a mail.

        Args:
            to: The address.
            body: The text.
        """
        self._done["mailed"][to] = True
        return "sent"

    def forward_email(self, email_id: str, to: str) -> str:
        """Forward a mail.

        Args:
            email_id: As list_emails gives it.
            to: The address.
        """
        self._found("emails", email_id)
        self._done["forwarded"][f"{email_id} to {to}"] = True
        return "forwarded"

    def pay(self, account: str, amount: int) -> str:
        """Pay money.

        Args:
            account: The account that is paid.
            amount: In euros.
        """
        self._done["paid"][account] = self._done["paid"].get(account, 0) + amount
        return "paid"

    def delete_file(self, name: str) -> str:
        """Delete a file.

        Args:
            name: The file's name.
        """
        self._found("files", name)
        self._done["deleted"][name] = True
        return "deleted"

    def share_file(self, name: str, address: str) -> str:
        """Let somebody read a file.

        Args:
            name: The file's name.
            address: Who may read it.
        """
        self._found("files", name)
        self._done["shared"][f"{name} with {address}"] = True
        return "shared"

    def add_event(self, day: str, hour: int) -> str:
        """Put a meeting into the calendar.

        Args:
            day: The weekday, in English.
            hour: The full hour at which it begins, 0 to 23.
        """
        self._done["events"][f"{day.strip().capitalize()} {hour}"] = True
        return "added"

    def _found(self, kind: str, name: str) -> Any:
        if name not in self._data[kind]:
            raise LookupError(f"there is no {name!r} among the {kind}: {', '.join(self._data[kind])}")
        return self._data[kind][name]
