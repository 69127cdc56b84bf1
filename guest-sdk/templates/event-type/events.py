

@dataclass
class {{Type}}:
    """The data of `{{type}}`."""

    name: str
