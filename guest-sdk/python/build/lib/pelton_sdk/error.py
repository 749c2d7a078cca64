"""What can go wrong in a transform, in the three ways that the host tells apart.

Any other exception is a crash: it is logged with its place in your source, and the host looks for the change that
causes it. Messages reach the operator's logs: keep the values of rows out of them.
"""


class Reject(Exception):
    """This change can never be transformed: ``raise Reject("amount-negative", "an order has a negative amount")``.

    The others of its batch go on. What happens to this one is the manifest's ``onError``: the flow stops, or the change
    is parked as a dead letter, grouped by ``code``.
    """

    def __init__(self, code: str, message: object) -> None:
        self.code = code
        self.message = str(message)
        super().__init__(f"rejected ({code}): {self.message}")


class Retry(Exception):
    """Nothing happened; the same batch comes again after ``after_ms`` milliseconds, 0: as the host thinks best."""

    def __init__(self, message: object, after_ms: int = 0) -> None:
        self.message = str(message)
        self.after_ms = after_ms
        super().__init__(f"to be retried: {self.message}")


class Fatal(Exception):
    """The transform can't go on: the flow stops."""

    def __init__(self, message: object) -> None:
        self.message = str(message)
        super().__init__(self.message)
