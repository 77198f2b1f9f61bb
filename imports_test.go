package sixhost_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sixhost/sixhost"

// deps lists what a package links, itself included.
func deps(t *testing.T, dir, pkg string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux")
	if dir != "." {
		cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go list -deps %s: %v\n%s", pkg, err, out)
	}
	return strings.Fields(string(out))
}

// outside makes a module of its own that imports one package, as an embedder
// would.
func outside(t *testing.T, pkg string) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	// The same versions as here, so that nothing has to be looked up.
	text := strings.Replace(string(gomod), "module "+module, "module outside", 1)
	text = text[:strings.Index(text, "\ntool ")] + "\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n"
	gosum, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": text, "go.sum": string(gosum),
		"main.go": "package main\n\nimport _ \"" + pkg + "\"\n\nfunc main() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestLightPackagesStayLight: whoever imports these links none of the heavy
// modules.
func TestLightPackagesStayLight(t *testing.T) {
	heavy := []string{
		"github.com/cilium/ebpf", "github.com/google/nftables", "github.com/miekg/dns", "github.com/spf13/cobra",
		"github.com/prometheus/client_golang", "github.com/vishvananda/netlink", "github.com/maypok86/otter",
	}
	for _, pkg := range []string{"slaac", "plan", "nat64", "nat64/siit", "guest", "guest/seed"} {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, d := range deps(t, outside(t, module+"/"+pkg), ".") {
				for _, h := range heavy {
					if d == h || strings.HasPrefix(d, h+"/") {
						t.Errorf("%s links %s", pkg, d)
					}
				}
			}
		})
	}
}

// TestImportsGoDownwards: every package may import of this module only what
// is listed here.
func TestImportsGoDownwards(t *testing.T) {
	allowed := map[string][]string{
		"slaac":                  {},
		"plan":                   {},
		"plan/rollback":          {"plan"},
		"bridge":                 {"plan", "slaac", "internal/ifaddr", "internal/netns", "internal/nldump", "internal/nft", "internal/sysctl"},
		"bridge/handover":        {"plan", "slaac", "bridge", "internal/ifaddr", "internal/netns", "internal/nldump", "internal/nft", "internal/sysctl"},
		"macrewrite":             {"plan", "slaac", "internal/nft", "internal/netns"},
		"ra":                     {"slaac", "internal/netns"},
		"nat64":                  {},
		"nat64/siit":             {"nat64"},
		"nat64/gateway":          {"plan", "slaac", "nat64", "nat64/siit", "nat64/gateway/fastpath", "internal/nft", "internal/netns", "internal/nldump", "internal/sysctl"},
		"nat64/gateway/fastpath": {"nat64", "internal/nldump"},
		"nat64/dns64":            {"plan", "nat64", "internal/dnsmsg", "internal/limit", "internal/netns"},
		"proxy":                  {"plan", "internal/limit", "internal/netns"},
		"guest":                  {"slaac"},
		"persist":                {"plan", "slaac", "bridge", "internal/ifaddr", "internal/netns", "internal/nldump", "internal/nft", "internal/sysctl"},
		"ra/raprom":              {"ra", "slaac", "internal/netns"},
		"macrewrite/proof":       {"slaac", "plan", "internal/netns", "internal/nldump", "internal/nft"},
		"guest/seed":             {"guest", "slaac"},
		"guest/hostroute":        {"plan"},

		"plan/rollback/health": {},

		"nat64/gateway/gatewayprom": {"plan", "slaac", "nat64", "nat64/siit", "nat64/gateway/fastpath", "nat64/gateway", "internal/nft", "internal/netns", "internal/nldump", "internal/sysctl"},
	}
	for pkg, may := range allowed {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, d := range deps(t, ".", module+"/"+pkg) {
				own, ok := strings.CutPrefix(d, module+"/")
				if ok && own != pkg && !slices.Contains(may, own) {
					t.Errorf("%s imports %s", pkg, own)
				}
			}
		})
	}
}

// TestJudgeSharesNoCode: the lab judges the product, so it must not link it,
// but for what only sets a stage.
func TestJudgeSharesNoCode(t *testing.T) {
	stage := []string{"internal/ifaddr", "internal/netns", "internal/sysctl"}
	for _, pkg := range []string{"internal/lab", "internal/lab/hostile"} {
		for _, d := range deps(t, ".", module+"/"+pkg) {
			own, ok := strings.CutPrefix(d, module+"/")
			if ok && !strings.HasPrefix(own, "internal/lab") && !slices.Contains(stage, own) {
				t.Errorf("%s imports %s", pkg, own)
			}
		}
	}
}
