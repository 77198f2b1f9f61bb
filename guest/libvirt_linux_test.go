package guest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"

	"github.com/sixhost/sixhost/internal/nstest"
)

// libvirt's own schemas accept what we write.
func TestVirtXMLValidate(t *testing.T) {
	tool := nstest.Tool(t, "virt-xml-validate")
	for name, e := range examples() {
		x, err := e.g.XML(e.h)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name+".xml")
		if err := os.WriteFile(file, []byte(x), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(tool, file, "domain").CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	// The judge must be able to say no.
	file := filepath.Join(t.TempDir(), "bad.xml")
	if err := os.WriteFile(file, []byte("<domain type='kvm'><name>x</name><memory>1</memory><os/><nonsense/></domain>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, file, "domain").CombinedOutput(); err == nil {
		t.Errorf("nonsense is accepted: %s", out)
	}
}

// libvirt's parser, by its test driver that needs no daemon, reads what we
// meant.
func TestVirshReadsBack(t *testing.T) {
	tool := nstest.Tool(t, "virsh")
	for name, e := range examples() {
		x, err := e.g.XML(e.h)
		if err != nil {
			t.Fatal(err)
		}
		// The driver has a hypervisor and a machine of its own.
		x = strings.Replace(strings.Replace(x, `type="kvm"`, `type="test"`, 1), `type="qemu"`, `type="test"`, 1)
		file := filepath.Join(t.TempDir(), name+".xml")
		if err := os.WriteFile(file, []byte(x), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(tool, "-q", "-c", "test:///default", "define --validate "+file+"; dumpxml "+e.g.Name)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_RUNTIME_DIR="+t.TempDir(), "XDG_CACHE_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		at := bytes.Index(out, []byte("<domain"))
		if at < 0 {
			t.Errorf("%s: no domain in %s", name, out)
			continue
		}
		var got libvirtxml.Domain
		if err := got.Unmarshal(string(out[at:])); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		meant, err := e.g.Domain(e.h)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(said(meant), said(&got)); d != "" {
			t.Errorf("%s: (-meant +read)\n%s", name, d)
		}
	}
}
