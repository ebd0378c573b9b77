"""HDF5 files are read by a child first: the library hangs on some damaged files, and crashes on others.

    python -m ftbnn_larq.models.hdf5 FILE

Reads all that a file holds, and ends with exit status 0 if that is sound.
"""

from __future__ import annotations

import functools
import os
import sys

from ftbnn_larq import leash
from ftbnn_larq.errors import ModelFileError, one_line

# Beside the content of a file. Damaged sizes ask for any number of gigabytes, in the library too.
_MOST_MORE = 10**9
# As little can be left of weights in a compressed file.
_MOST_UNPACKED = 4


def _most(size: int) -> int:
    """Bytes that reading a file of so many may take."""
    return min(leash.memory(), _MOST_MORE + _MOST_UNPACKED * size)


def check(path: str | os.PathLike, named: object = None) -> None:
    """Refuse an HDF5 file that cannot be read through, or that reads other files.

    Arguments:
        named: what messages call it, where it is not `path`.

    Raises:
        ModelFileError: it is damaged, or takes too much memory or time.
        OSError: there is no such file.
    """
    found = os.stat(path)
    told = _told(os.path.abspath(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    if told is not None:
        raise ModelFileError(f"{path if named is None else named}: damaged, or not an HDF5 file ({told})")


@functools.lru_cache(maxsize=64)
def _told(path: str, *version: int) -> str | None:
    """What is wrong with a version of a file; asked once, for commands check first and load later."""
    done = leash.run(__name__, path)
    if done.returncode == 0:
        return None
    if done.returncode == 2:
        return one_line(ValueError(done.stdout.decode(errors="replace")), 160)
    return leash.why_ended(done.returncode, done.stderr, _most(os.stat(path).st_size))


def main(path: str) -> None:
    leash.begin()
    import h5py

    most = _most(os.stat(path).st_size)
    leash.library_loaded(most)
    try:
        with h5py.File(path, "r") as file:
            _read(file, h5py, most)
    except Exception as error:  # h5py raises a dozen kinds for a damaged file
        print(one_line(error, 160))
        sys.exit(2)


def _read(file, h5py, most: int) -> None:
    left = most

    def read(name: str, item) -> None:
        nonlocal left
        dict(item.attrs)
        if isinstance(item, h5py.Group):
            for member in item:
                if not isinstance(item.get(member, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name}/{member} is a link to elsewhere")
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"{name} lies in another file")
            left -= item.nbytes
            if left < 0:
                raise ValueError(f"{name} is {item.shape}, which takes more than {most / 1e9:.1f} GB")
            item[()]

    read("", file)
    file.visititems(read)


if __name__ == "__main__":
    main(sys.argv[1])
