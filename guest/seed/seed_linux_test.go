package seed

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/internal/nstest"
)

func files(t *testing.T) []guest.SeedFile {
	t.Helper()
	g := guest.Guest{Name: "web", CloudInit: &guest.CloudInit{Image: "/x.iso", SSHKeys: []string{"ssh-ed25519 AAAA me"}}}
	list, err := g.SeedFiles(guest.Surroundings{Domain: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSameFilesSameImage(t *testing.T) {
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := Write(w, files(t)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two images differ")
	}
	// What a library writes of the time depends on the second: none must be left.
	if year := []byte("202"); bytes.Contains(a.Bytes()[16*2048:17*2048], year) {
		t.Error("the image holds a time")
	}
}

// isoinfo reads label, names and contents back.
func TestIsoinfo(t *testing.T) {
	tool := nstest.Tool(t, "isoinfo")
	image := filepath.Join(t.TempDir(), "seed.iso")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(f, files(t)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(tool, append([]string{"-i", image}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("isoinfo %s: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if d := read("-d"); !strings.Contains(d, "Volume id: cidata\n") {
		t.Errorf("label:\n%s", d)
	}
	names := strings.Fields(read("-f"))
	if len(names) != 3 {
		t.Errorf("files: %q", names)
	}
	for _, want := range files(t) {
		if got := read("-x", "/"+want.Name+";1"); got != want.Content {
			t.Errorf("%s: got %q, want %q", want.Name, got, want.Content)
		}
	}
}
