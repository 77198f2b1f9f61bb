package fastpath

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sixhost/sixhost/internal/nstest"
)

// The committed objects are what the source gives, where the compiler is there
// that made them: another version may choose other instructions.
func TestObjectsMatchTheSource(t *testing.T) {
	version, err := exec.Command(nstest.Tool(t, "clang"), "--version").Output()
	if err != nil || !bytes.Contains(version, []byte("version 14.")) {
		t.Skipf("needs clang 14, which made the objects: %v", err)
	}
	for _, target := range []string{"bpfel", "bpfeb"} {
		object := filepath.Join(t.TempDir(), "o")
		out, err := exec.Command("clang", "-O2", "-Wall", "-Werror", "-g", "-mcpu=v3", "-target", target,
			"-I/usr/include/x86_64-linux-gnu", "-I/usr/include/aarch64-linux-gnu", "-c", "bpf/fastpath.c", "-o", object).CombinedOutput()
		if err != nil {
			t.Fatalf("clang: %v\n%s", err, out)
		}
		made, err := os.ReadFile(object)
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile("programs_" + target + ".o")
		if err != nil {
			t.Fatal(err)
		}
		a, b := instructions(t, made), instructions(t, committed)
		if len(a) != 3 || len(b) != 3 {
			t.Fatalf("%s: %d and %d programs", target, len(a), len(b))
		}
		for name := range a {
			if !bytes.Equal(a[name], b[name]) {
				t.Errorf("%s: program %s is not what the source gives; run go generate", target, name)
			}
		}
	}
}

func instructions(t *testing.T, object []byte) map[string][]byte {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]byte)
	for name, p := range spec.Programs {
		var b bytes.Buffer
		for _, i := range p.Instructions {
			// Not the text of lines, whose paths differ.
			fmt.Fprintf(&b, "%v ", i)
			b.WriteString(i.Reference())
			b.WriteByte('\n')
		}
		out[name] = b.Bytes()
	}
	return out
}
