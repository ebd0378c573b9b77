"""Weights and models of Keras: .npz by array, .h5 by attribute, .keras by the members of the zip file."""

from __future__ import annotations

import functools
import io
import json
import random
import shutil
import struct
import zipfile
from pathlib import Path

from tests.fuzz import damage
from tests.fuzz.documents import OLD, a_run


@functools.cache
def network():
    """That of the stored run and weights."""
    from ftbnn_larq.models.weights import read_description
    from ftbnn_larq.zoo import networks

    return networks.rebuild(read_description(OLD / "weights.npz").model)


@functools.cache
def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(rng: random.Random, content: dict[str, bytes]) -> bytes:
    """A zip file, now and then with a member that is lost, doubled, has another name, or unpacks to gigabytes."""
    rows = list(content.items())
    odd = rng.randrange(12)
    at = rng.randrange(len(rows))
    if odd == 0:
        del rows[at]
    elif odd == 1:
        rows.append(rows[at])
    elif odd == 2:
        rows[at] = (
            rng.choice(("../../up", "/tmp/absolute", "a\\b", "é", rows[at][0] + "/", rows[at][0].upper())),
            rows[at][1],
        )
    elif odd == 3:
        rows[at] = (rows[at][0], bytes(60 << 20))
    out = io.BytesIO()
    import warnings

    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive,
    ):
        warnings.simplefilter("ignore")
        for name, data in rows:
            archive.writestr(name, data)
    whole = out.getvalue()
    if odd == 4:
        # Sizes, methods and places in the directory at the end.
        at = whole.rfind(b"PK\x01\x02", 0, rng.randint(1, len(whole)))
        if at >= 0:
            place = at + rng.randrange(6, 46)
            whole = (
                whole[:place] + rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", rng.randbytes(4))) + whole[place + 4 :]
            )
    return damage.raw(rng, whole, 3) if odd == 5 else whole


def _array(rng: random.Random, content: bytes) -> bytes:
    """An .npy file with another header."""
    (length,) = struct.unpack("<H", content[8:10])
    header, rest = content[10 : 10 + length].decode("latin-1"), content[10 + length :]
    shapes = (
        "()",
        "(0,)",
        "(1,)",
        "(-1,)",
        "(18446744073709551616,)",
        "(1000000000000,)",
        "(4, 1099511627776)",
        "('a',)",
        "1",
        "(1.5,)",
    )
    kinds = (
        "'|O'",
        "'<f8'",
        "'<f4'",
        "'|u1'",
        "'<U4'",
        "'<c16'",
        "'|V8'",
        "[('a', '<f4')]",
        "'<M8[s]'",
        "'zz'",
        "'>f2'",
    )
    match rng.randrange(6):
        case 0 | 1:
            header = header[: header.find("'shape'")] + f"'shape': {rng.choice(shapes)}, }}"
        case 2 | 3:
            header = "{'descr': " + rng.choice(kinds) + header[header.find(", 'fortran") :]
        case 4:
            header = damage.raw(rng, header.encode("latin-1", "replace"), 2).decode("latin-1")
        case 5:
            rest = damage.raw(rng, rest)
    header = header.rstrip() + "\n"
    return content[:8] + struct.pack("<H", len(header)) + header.encode("latin-1", "replace") + rest


def compact(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq.models.weights import load_weights, read_description

    content = dict(members(OLD / "weights.npz"))
    match rng.randrange(4):
        case 0 | 1:
            document = json.loads(content["description.npy"][128:])
            out = damage.as_json(rng, document)
            header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(out)},), }}\n".encode()
            content["description.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + out
        case 2:
            name = rng.choice(list(content))
            content[name] = _array(rng, content[name])
    path = folder / "weights.npz"
    path.write_bytes(zipped(rng, content))
    if rng.random() < 0.02:
        damage.instead(rng, path)
    # Each of the two is asked of a published network.
    try:
        load_weights(network(), path)
    finally:
        read_description(path)


def damaged_hdf5(rng: random.Random, path: Path) -> None:
    """Other names, attributes, shapes and types in an .h5 file, or other bytes."""
    import h5py
    import numpy as np

    if rng.random() < 0.4:
        path.write_bytes(damage.raw(rng, path.read_bytes(), 4))
        return
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        item = file[rng.choice(names)]
        match rng.randrange(7):
            case 0:
                del file[item.name]
            case 1:
                file.move(item.name, f"{item.name}x")
            case 2:
                for key in rng.sample(list(file.attrs), min(1, len(file.attrs))):
                    file.attrs[key] = rng.choice((b"", b"\xff", "2.15.0", "nan", 1, np.float32(2), np.zeros(3)))
            case 3 | 4:
                name = item.name
                attributes = list(item.attrs)
                if attributes:
                    item.attrs[rng.choice(attributes)] = rng.choice(
                        (b"", "layer", 1, np.zeros((2, 2)), np.array([b"a", b"b"]))
                    )
                else:
                    del file[name]
                    file[name] = rng.choice(
                        (
                            np.zeros((3, 5)),
                            np.array(b"text"),
                            np.zeros(1 << 20, "i1"),
                            h5py.SoftLink(name),
                            h5py.ExternalLink("other.h5", "/"),
                        )
                    )
            case 5:
                shape = rng.choice(((1 << 40,), (0,), (2, 2), ()))
                name = item.name
                del file[name]
                file.create_dataset(name, shape, "f4", **({"chunks": (1 << 20,)} if shape == (1 << 40,) else {}))
            case 6:
                file[rng.choice((f"{item.parent.name}/more", "more"))] = h5py.SoftLink(
                    rng.choice(("/", item.name, "/nowhere"))
                )


def hdf5(rng: random.Random, folder: Path) -> None:
    """The best weights of a run, or a checkpoint, whose checksum is right."""
    from ftbnn_larq import documents as house
    from ftbnn_larq import runs
    from ftbnn_larq.files import sha256
    from ftbnn_larq.models.weights import load_weights, optimizer_shapes
    from ftbnn_larq.training import checkpoints

    run = a_run(folder)
    if rng.random() < 0.5:
        damaged_hdf5(rng, run / "best.weights.h5")
        load_weights(network(), run / "best.weights.h5")
        return
    weights = run / "checkpoints" / "epoch-0002.weights.h5"
    damaged_hdf5(rng, weights)
    record = checkpoints.newest(runs.open_run(OLD / "run"))
    house.write(weights.with_name("epoch-0002.json"), house.Checkpoint(2, sha256(weights), record.history))
    checkpoints.newest(runs.open_run(run))
    load_weights(network(), weights)
    optimizer_shapes(weights)


def keras_file(rng: random.Random, folder: Path) -> None:
    """A Keras model file; what passes the check is loaded."""
    from ftbnn_larq.models import keras_files

    if rng.random() < 0.5:
        content = dict(members(OLD / "every_layer.keras"))
        name = rng.choice(("config.json", "config.json", "metadata.json", "model.weights.h5"))
        if name.endswith(".json"):
            content[name] = damage.as_json(rng, json.loads(content[name]))
        else:
            path = folder / "inner.h5"
            path.write_bytes(content[name])
            damaged_hdf5(rng, path)
            content[name] = path.read_bytes()
        path = folder / "model.keras"
        path.write_bytes(zipped(rng, content))
    else:
        path = Path(shutil.copy(OLD / "every_layer.h5", folder / "model.h5"))
        if rng.random() < 0.5:
            damaged_hdf5(rng, path)
        else:
            import h5py

            with h5py.File(path, "r+") as file:
                file.attrs["model_config"] = damage.as_json(rng, json.loads(file.attrs["model_config"])).replace(
                    b"\0", b""
                )
    keras_files.check(path)
    if rng.random() < 0.3:
        keras_files.load(path)
