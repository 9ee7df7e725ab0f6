"""Annotators at home elsewhere: a step of a datatrove pipeline, a class for Ray Data's map_batches."""


def why_no_score(text: object) -> str | None:
    """Why a text gets no score, in the words of the annotate stage; None if it gets one.

    Returns:
        text_null, text_type (no string), or empty (nothing but white space).
    """
    if text is None:
        return "text_null"
    if not isinstance(text, str):
        return "text_type"
    return None if text.strip() else "empty"
