package ra

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// radvd's own parser judges: it takes every file we take (of its version), and
// what we write; what we refuse, it refuses or it can do more.
func TestRadvdAgrees(t *testing.T) {
	radvd := nstest.Tool(t, "radvd")
	check := func(text string) error {
		path := filepath.Join(t.TempDir(), "radvd.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(radvd, "-c", "-m", "stderr", "-C", path).CombinedOutput()
		if err != nil {
			t.Logf("%s", out)
		}
		return err
	}
	for path, text := range radvdFiles(t) {
		golden, err := os.ReadFile(strings.TrimSuffix(path, ".conf") + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(path) == "newer.conf" {
			continue // Debian 12's is 2.19
		}
		for name, text := range map[string]string{path: text, "what we write of it": string(golden)} {
			if err := check(text); err != nil {
				t.Errorf("%s (%s): radvd refuses: %v\n%s", path, name, err, text)
			}
		}
	}
	for _, tt := range radvdErrors() {
		if err := check(tt.text); (err != nil) != tt.refused {
			t.Errorf("%q: radvd says %v, want refused %t", tt.text, err, tt.refused)
		}
	}
}
