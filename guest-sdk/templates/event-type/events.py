

@dataclass
class {{Type}}:
    """The data of `{{type}}`. Until it has fields, it accepts every object."""
