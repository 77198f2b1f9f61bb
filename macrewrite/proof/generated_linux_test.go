package proof

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sixhost/sixhost/internal/nstest"
)

// madeBy is the compiler that made the committed objects.
const madeBy = "version 14."

// The committed objects are what the source gives, where the compiler is the one
// that made them: another version may choose other instructions.
func TestObjectsMatchTheSource(t *testing.T) {
	clang := nstest.Tool(t, "clang")
	version, err := exec.Command(clang, "--version").Output()
	if err != nil {
		t.Fatalf("clang --version: %v", err)
	}
	for _, target := range []string{"bpfel", "bpfeb"} {
		object := filepath.Join(t.TempDir(), target+".o")
		out, err := exec.Command(clang, "-O2", "-Wall", "-Werror", "-g", "-mcpu=v3", "-target", target,
			"-I/usr/include/x86_64-linux-gnu", "-I/usr/include/aarch64-linux-gnu", "-c", "bpf/proof.c", "-o", object).CombinedOutput()
		if err != nil {
			t.Fatalf("clang: %v\n%s", err, out)
		}
		made, committed := instructions(t, object), instructions(t, "programs_"+target+".o")
		if len(made) != 1 || len(committed) != 1 {
			t.Fatalf("%s: %d and %d programs", target, len(made), len(committed))
		}
		if first, _, _ := strings.Cut(string(version), "\n"); !strings.Contains(first, madeBy) {
			t.Logf("not compared: the objects are clang %s's, this is %s", madeBy, first)
			continue
		}
		if made["proof"] != committed["proof"] {
			t.Errorf("%s: the program is not what the source gives; run go generate", target)
		}
	}
}

// instructions are those of an object's programs, by their names.
func instructions(t *testing.T, file string) map[string]string {
	t.Helper()
	object, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	out := make(map[string]string)
	for name, p := range spec.Programs {
		var b strings.Builder
		for _, i := range p.Instructions {
			// Not the text of lines, whose paths differ.
			fmt.Fprintf(&b, "%v %s\n", i, i.Reference())
		}
		out[name] = b.String()
	}
	return out
}
