"""Folders and archives."""

import os
import shutil
import tarfile
import zipfile
from collections.abc import Sequence


def create_folder_hierarchy(base_folder_path: str, folder_names: Sequence[str]) -> tuple[str, list[str]]:
    """Makes each folder inside the one before; returns the last path, and all of them from the base on.

    Raises `ValueError` if the base folder does not exist.
    """
    if not os.path.isdir(base_folder_path):
        raise ValueError(f"There is no folder {base_folder_path}: create it, or give another base folder.")
    paths = [base_folder_path]
    for name in folder_names:
        paths.append(os.path.join(paths[-1], name))
        os.makedirs(paths[-1], exist_ok=True)
    return paths[-1], paths


def zip_folder(source_dir_path: str, zip_path: str) -> str:
    """Packs the content of a folder; `zip_path` may lack the `.zip`. Returns the path with it."""
    stem = zip_path.removesuffix(".zip")
    shutil.make_archive(stem, "zip", source_dir_path)
    return f"{stem}.zip"


def unzip_file(file_path: str, target_dir_path: str) -> None:
    """Unpacks a `.zip`, `.tar.gz` or `.tgz`; nothing leaves the target folder. Raises `ValueError` for other names."""
    if file_path.endswith(".zip"):
        with zipfile.ZipFile(file_path) as archive:
            archive.extractall(target_dir_path)
    elif file_path.endswith((".tar.gz", ".tgz")):
        with tarfile.open(file_path, "r:gz") as archive:
            archive.extractall(target_dir_path, filter="data")
    else:
        raise ValueError(f"{file_path} is neither a .zip nor a .tar.gz file.")
