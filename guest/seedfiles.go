package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// Surroundings are what a guest's own system has to know of the host.
type Surroundings struct {
	// Domain that the guest's name is in; "" for none.
	Domain string
	// Gateway4 is the host's IPv4 address, the gateway of guests with one of
	// their own. Required for these.
	Gateway4 netip.Addr
	// Resolvers are asked by guests with NoDNS64, in place of the host. Required
	// for these.
	Resolvers []netip.Addr
}

// SeedFile is one file of a NoCloud seed.
type SeedFile struct {
	Name    string
	Content string
}

// SeedFiles returns the files of the guest's cloud-init NoCloud seed: meta-data,
// user-data and network-config. The network is that of [Guest.Addr]: SLAAC with
// the identifier made from the MAC, and no DHCP, which nobody would answer and
// a boot would wait for. The error is a [*ConfigError].
func (g Guest) SeedFiles(s Surroundings) ([]SeedFile, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	if g.CloudInit == nil {
		return nil, &ConfigError{g.Name, "CloudInit", "is required for a seed"}
	}
	plan, err := g.Netplan(s)
	if err != nil {
		return nil, err
	}
	// cloud-init has version and interfaces at the top.
	network, _ := strings.CutPrefix(unindent(plan), "network:\n")
	user := userData{Hostname: g.Name, SSHKeys: g.CloudInit.SSHKeys}
	if s.Domain != "" {
		if user.FQDN, err = fqdn(g.Name, s.Domain); err != nil {
			return nil, err
		}
		user.FQDN = strings.TrimSuffix(user.FQDN, ".")
	}
	if g.NoDNS64 {
		user.WriteFiles = []writeFile{{Path: netplanDropIn, Content: dropIn()}}
		user.RunCmd = [][]string{{"sh", "-c", "networkctl reload && networkctl reconfigure $(ls -d /sys/class/net/*/device | cut -d/ -f5) || true"}}
	}
	doc, err := document(user)
	if err != nil {
		return nil, fmt.Errorf("write user-data of guest %s: %w", g.Name, err)
	}
	return []SeedFile{
		// Another instance-id would be another machine to cloud-init, with new
		// host keys.
		{"meta-data", fmt.Sprintf("instance-id: %s\nlocal-hostname: %s\n", g.UUID(), g.Name)},
		{"user-data", "#cloud-config\n" + doc},
		{"network-config", network},
	}, nil
}

// userData is the part of cloud-config that is used here. JSON is YAML, and
// there is only one way to write a string of it.
type userData struct {
	Hostname   string      `json:"hostname"`
	FQDN       string      `json:"fqdn,omitempty"`
	SSHKeys    []string    `json:"ssh_authorized_keys,omitempty"`
	WriteFiles []writeFile `json:"write_files,omitempty"`
	RunCmd     [][]string  `json:"runcmd,omitempty"`
}

type writeFile struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

func document(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.String(), err
}

func unindent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	return b.String()
}
