"""Folders packed into docker-archives, which containerd and buildah read; no daemon takes part."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A tar of a part of a root filesystem."""

    path: Path

    @property
    def digest(self) -> str:
        """SHA-256 of the tar, which is written beside it once."""
        file = self.path.with_suffix(".sha256")
        if not file.exists():
            digest = hashlib.sha256()
            with self.path.open("rb") as tar:
                while block := tar.read(1 << 20):
                    digest.update(block)
            file.write_text(digest.hexdigest())
        return file.read_text()


def layer(root: Path, path: Path) -> Layer:
    """Packs what is below `root`; owners are root, times are left out, so that equal folders give equal layers."""
    told = ["--numeric-owner", "--owner=0", "--group=0", "--mtime=@0", "--sort=name"]
    subprocess.run(["tar", *told, "-C", str(root), "-cf", str(path), "."], check=True)
    return Layer(path)


def archive(path: Path, tag: str, layers: Sequence[Layer], config: Mapping[str, Any]) -> Path:
    """An image of layers, lowest first; `config` as in the OCI image specification, such as ``{"Env": ["A=b"]}``."""
    roots = {"type": "layers", "diff_ids": [f"sha256:{one.digest}" for one in layers]}
    document = {"architecture": "amd64", "os": "linux", "config": dict(config), "rootfs": roots}
    text = json.dumps(document).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    names = [f"{one.digest}.tar" for one in layers]
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": names}]).encode()
    unfinished = path.with_suffix(".unfinished")
    with tarfile.open(unfinished, "w") as tar:
        for one, inside in zip(layers, names, strict=True):
            tar.add(one.path, inside)
        for inside, data in ((name, text), ("manifest.json", manifest)):
            member = tarfile.TarInfo(inside)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    unfinished.rename(path)
    return path
