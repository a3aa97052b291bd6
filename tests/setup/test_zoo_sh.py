"""`zoo.sh`: what it asks of the machine, when it builds, and what it passes on. Cargo is stood in for."""

import os
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Writes down how it was called, and "builds" a program that prints its arguments.
CARGO = """#!/bin/sh
echo "$PWD $@" >> "$LOG"
[ -e "$LOG.fail" ] && { echo "error: of cargo" >&2; exit 101; }
case "$1 $2" in
"build --release")
    mkdir -p "$CARGO_TARGET_DIR/release"
    printf '#!/bin/sh\\necho "zoo $@"\\nexit 3\\n' > "$CARGO_TARGET_DIR/release/zoo"
    chmod +x "$CARGO_TARGET_DIR/release/zoo" ;;
esac
"""


class ZooSh(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.home = Path(temporary.name).resolve()
        self.clone = self.home / "clone"
        self.programs = self.home / "bin"
        self.programs.mkdir()
        for name in ("zoo.sh", "Cargo.toml", "Cargo.lock", ".cargo/config.toml", "zoo/setup/libtorch.py"):
            target = self.clone / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(ROOT / name), str(target))
        for name in ("core", "dsl", "plugins/text", "plugins/masking", "tests/setup"):
            (self.clone / name).mkdir(parents=True)
        for name in ("text", "masking"):
            manifest = '[package]\nname = "zoo-{}"\n\n[lib]\nname = "zoo_{}"\n'.format(name, name)
            (self.clone / "plugins" / name / "Cargo.toml").write_text(manifest)
        (self.clone / "core/lib.rs").write_text("")
        # What a finished set-up leaves.
        libtorch = self.clone / ".zoo/libtorch"
        (libtorch / "lib").mkdir(parents=True)
        (libtorch / "lib/libtorch_cpu.so").write_text("")
        (libtorch / "build-version").write_text("2.11.0\n")
        self.age(3600)

        self.program("cargo", CARGO)
        self.program("rustc", "#!/bin/sh\necho 'rustc 1.95.0 (of a test)'\n")
        for name in ("c++", "cc"):
            self.program(name, "#!/bin/sh\nexit 0\n")
        tools = "bash sh env dirname readlink sort head cat mkdir sed find mv chmod python3 touch"
        for name in tools.split():
            (self.programs / name).symlink_to(shutil.which(name))
        self.log = self.home / "log"

    def age(self, seconds):
        """Makes everything in the clone so old."""
        then = time.time() - seconds
        for path in [self.clone, *self.clone.rglob("*")]:
            os.utime(str(path), (then, then))

    def program(self, name, text):
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def zoo(self, *arguments, folder=None, **variables):
        environment = {"PATH": str(self.programs), "HOME": str(self.home), "LOG": str(self.log)}
        environment.update(variables)
        return subprocess.run(
            [str(self.clone / "zoo.sh"), *arguments],
            env=environment,
            cwd=str(folder or self.home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )

    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def test_builds_once_and_passes_everything_on(self):
        done = self.zoo("check", "a b.mlm", "--json")
        # Standard output is the program's alone, and its exit code comes through.
        self.assertEqual((done.stdout, done.returncode), ("zoo check a b.mlm --json\n", 3))
        self.assertIn("building zoo and its plugins", done.stderr)
        expected = "{} build --release -p zoo -p zoo-runner -p zoo-masking -p zoo-text".format(self.clone)
        self.assertEqual(self.calls(), [expected])

        times = []
        for _ in range(5):
            started = time.monotonic()
            again = self.zoo("run", "x")
            times.append(time.monotonic() - started)
        self.assertEqual((again.stdout, again.stderr), ("zoo run x\n", ""))
        self.assertEqual(len(self.calls()), 1)
        # Well under a second; the best of five, since a test machine may be busy.
        self.assertLess(min(times), 0.5)

    def test_builds_again_when_something_changed(self):
        self.zoo("check")
        (self.clone / "core/lib.rs").write_text("// changed")
        self.zoo("check")
        self.assertEqual(len(self.calls()), 2)
        self.zoo("check")
        self.assertEqual(len(self.calls()), 2)
        # A file that is gone shows in its folder.
        self.age(60)
        (self.clone / "core/lib.rs").unlink()
        self.zoo("check")
        self.assertEqual(len(self.calls()), 3)
        # Another libtorch.
        own = self.home / "own"
        shutil.copytree(str(self.clone / ".zoo/libtorch"), str(own))
        self.zoo("check", LIBTORCH=str(own))
        self.assertEqual(len(self.calls()), 4)
        self.zoo("check", LIBTORCH=str(own))
        self.assertEqual(len(self.calls()), 4)

    def test_a_failed_build_is_no_build(self):
        fail = Path(str(self.log) + ".fail")
        fail.write_text("")
        done = self.zoo("check")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("error: of cargo", done.stderr)
        self.assertTrue(done.stderr.endswith("the build failed; cargo's words are above.\n"), done.stderr)
        fail.unlink()
        self.assertEqual(self.zoo("check").stdout, "zoo check\n")

    def test_a_target_folder_of_ones_own(self):
        done = self.zoo("check", CARGO_TARGET_DIR="build")
        self.assertEqual(done.stdout, "zoo check\n")
        self.assertTrue((self.home / "build/release/zoo").is_file())
        self.assertFalse((self.clone / "target").exists())

    def test_through_a_link(self):
        link = self.home / "zoo"
        link.symlink_to(self.clone / "zoo.sh")
        environment = {"PATH": str(self.programs), "HOME": str(self.home), "LOG": str(self.log)}
        done = subprocess.run([str(link), "check"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.stdout, b"zoo check\n")

    def missing(self, name, words):
        (self.programs / name).unlink()
        done = self.zoo("check")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertTrue(done.stderr.startswith("zoo set-up: error: "), done.stderr)
        self.assertIn(words, done.stderr)
        self.assertEqual(self.calls(), [])

    def test_no_cargo(self):
        self.missing("cargo", "https://rustup.rs")

    def test_no_compiler(self):
        self.missing("c++", "sudo apt install g++")

    def test_no_python(self):
        self.missing("python3", "sudo apt install python3 python3-pip python3-venv")

    def test_an_old_rust(self):
        self.program("rustc", "#!/bin/sh\necho 'rustc 1.94.1 (of a test)'\n")
        done = self.zoo("check")
        self.assertIn("rustc is 1.94.1, and zoo needs 1.95 or later", done.stderr)
        self.program("rustc", "#!/bin/sh\necho 'rustc 1.100.0 (of a test)'\n")
        self.assertEqual(self.zoo("check").stdout, "zoo check\n")

    def test_a_libtorch_of_another_version(self):
        (self.clone / ".zoo/libtorch/build-version").write_text("2.5.1\n")
        done = self.zoo("check", LIBTORCH=str(self.clone / ".zoo/libtorch"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("which is libtorch 2.5.1; zoo is built for 2.11.0", done.stderr)

    def test_the_test_command(self):
        (self.clone / "tests/setup/test_nothing.py").write_text("import unittest\n")
        done = self.zoo("test")
        self.assertEqual([line.split(" ", 1)[1] for line in self.calls()][0], "build --workspace")
        self.assertIn("test --workspace --tests", self.calls()[1])
        self.assertIn("test --workspace --doc", self.calls()[2])
        self.assertIn("=== build of the workspace: passed in", done.stderr)
        self.zoo("test", "--all")
        self.assertTrue(any("-- --include-ignored" in line for line in self.calls()))
        done = self.zoo("test", "--al")
        self.assertEqual(done.returncode, 1)
        self.assertIn("knows only --all, and got `--al`", done.stderr)


if __name__ == "__main__":
    unittest.main()
