"""Annotators on the Hugging Face hub: a repository of the model kind holds the files of one annotator's folder.

The hub that is asked is the one of HF_ENDPOINT; the token, where none is given, is that of HF_TOKEN or `hf auth login`.
"""

from pathlib import Path

from jql.annotator.annotator import FILES
from jql.errors import InputError, OutputError, one_line

CARD, README = "CARD.md", "README.md"  # the hub shows a README.md as the page of a repository


def push_folder(folder: Path, repo_id: str, private: bool = True, token: str | None = None) -> str:
    """Upload an annotator's files, and nothing else of the folder, as one commit on main.

    Args:
        repo_id: "owner/name"; made if it is not there.
        private: of a repository that is made; one that is there keeps its visibility.

    Returns:
        Address of the commit, .../commit/<revision>; the last one where no file has changed.

    Raises:
        InputError: the folder is not a whole annotator. OutputError: the hub cannot be reached or refuses.
    """
    missing = _missing(folder)
    if missing:
        raise InputError(f"{folder}: not a whole annotator, {', '.join(missing)} missing; name the folder of one")
    from huggingface_hub import CommitOperationAdd, HfApi

    # Not upload_folder: it has no other name for CARD.md, and a second commit would publish a state without its page.
    sources = {name: folder / name for name in FILES} | {README: folder / CARD}
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            [CommitOperationAdd(name, str(path)) for name, path in sources.items()],
            commit_message=f"Annotator {folder.resolve().name}",
        )
    except Exception as error:  # the hub raises its own, httpx's and the system's errors
        raise OutputError(
            f"annotator {folder}: not pushed to {repo_id!r} at {api.endpoint} ({_said(error)}); check the name "
            "(owner/name) and the network, and log in with a token that may write there (hf auth login)"
        ) from error
    return str(commit.commit_url)


def fetch_annotator(repo_id: str, revision: str | None = None) -> Path:
    """Folder of a hub annotator in the hub's cache, as downloaded now or before; read-only, files are links.

    Args:
        revision: branch, tag or commit; None is main as it is now, or as it was last fetched where the hub is not
            reached. Only a commit names the same weights tomorrow.

    Raises:
        InputError: it cannot be had, or is not a whole annotator.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    where = f"annotator {repo_id!r}, revision {revision or constants.DEFAULT_REVISION}"
    try:
        folder = Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(FILES)))
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"{where}: not in the cache {constants.HF_HUB_CACHE}, and {constants.ENDPOINT} is not reached"
            f"{' (HF_HUB_OFFLINE is set)' if constants.HF_HUB_OFFLINE else ''}; fetch it once where there is a network "
            "(unset HF_HUB_OFFLINE there) and copy that cache here, or name a local folder"
        ) from error
    except Exception as error:  # the hub raises its own, httpx's and the system's errors
        raise InputError(
            f"{where}: cannot be fetched from {constants.ENDPOINT} ({_said(error)}); check the name (owner/name) "
            "and the revision, and log in if it is private (hf auth login)"
        ) from error
    missing = _missing(folder)
    if missing:
        raise InputError(
            f"{where}: not a whole annotator, {', '.join(missing)} missing in it; name a repository that jql pushed"
        )
    return folder


def _said(error: Exception) -> str:
    """The start of an error of the hub; it ends in general advice that would push ours out of the line."""
    return one_line(error)[:160]


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if not (folder / name).is_file()]
