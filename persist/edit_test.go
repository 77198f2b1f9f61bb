package persist

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/sixhost/sixhost/plan"
)

// editNetplan edits one file of netplan's for wanted's network.
func editNetplan(content []byte) (before, after File, err error) {
	c := Config{Bridge: wanted(), Format: FormatNetplan}
	there := State{Scope: c.Scope(), Files: []File{{Path: "etc/netplan/01-netcfg.yaml", Mode: 0o600, Content: content}}}
	want, err := c.State(there)
	if err != nil {
		return there.Files[0], File{}, err
	}
	after, _ = want.File(there.Files[0].Path)
	return there.Files[0], after, nil
}

// unsealedText is a file without its sum.
func unsealedText(content []byte) string {
	lines, _, _ := unsealed(content)
	var b strings.Builder
	for _, l := range lines {
		b.Write(l)
	}
	return b.String()
}

// What an edit takes out and puts in, one line each; everything else stays.
func TestEdit(t *testing.T) {
	bridge := func(indent string) string {
		return strings.ReplaceAll(`~br0:
~  # Written by sixhost. Changes are lost when the host's configuration is applied again.
~  renderer: networkd
~  interfaces: ["enp2s0"]
~  macaddress: "90:1b:0e:12:34:56"
~  mtu: 1500
~  parameters:
~    stp: false
~    forward-delay: 0
~  dhcp4: false
~  dhcp6: false
~  accept-ra: false
~  link-local: [ipv6]
~  addresses:
~  - "203.0.113.10/32"
~  - "2001:db8:1:3:921b:eff:fe12:3456/64"
~  routes:
~  - to: "0.0.0.0/0"
~    via: "203.0.113.1"
~    on-link: true
~  - to: "::/0"
~    via: "fe80::1"
~    metric: 1024
`, "~", indent)
	}
	const port = `      # Written by sixhost. br0 has the addresses of this interface.
`
	for _, tc := range []struct{ name, in, out string }{
		{"comments move with what they are about", `network:
  version: 2
  ethernets:
    # the only NIC
    enp2s0: # port 7
      # to the provider
      addresses: # both
      # the IPv4 one
      - 203.0.113.10/32 # from the contract
      - 2001:db8:1:3::2/64 # goes away
      # old dialect
      gateway6: fe80::1 # link-local
      dhcp4: yes # was needed once
      wakeonlan: true # kept
  # the end
`, `network:
  version: 2
  ethernets:
    # the only NIC
    enp2s0: # port 7
` + port + `      # to the provider
      # goes away
      dhcp4: false # was needed once
      wakeonlan: true # kept
      renderer: networkd
      dhcp6: false
      accept-ra: false
      link-local: []
  # the end
  bridges:
` + strings.NewReplacer(
			"      addresses:\n", "      addresses: # both\n",
			"      - \"203.0.113.10/32\"\n", "      # the IPv4 one\n      - \"203.0.113.10/32\" # from the contract\n",
			"      - to: \"::/0\"\n", "      # old dialect\n      - to: \"::/0\" # link-local\n").Replace(bridge("    "))},
		{"others stay", `# mine
network:
  version: 2
  ethernets:
    enp1s0:   {dhcp4: true}   # odd  spacing
    enp2s0:
      addresses: [203.0.113.10/32]
      optional: true

    # the LAN
    enp3s0:
      addresses: ["192.168.0.1/24"]
  bridges:
    lan:
      interfaces: [enp3s0]

  # VLANs follow
  vlans:
    lan.7: {id: 7, link: lan}
`, `# mine
network:
  version: 2
  ethernets:
    enp1s0:   {dhcp4: true}   # odd  spacing
    enp2s0:
` + port + `      optional: true
      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []

    # the LAN
    enp3s0:
      addresses: ["192.168.0.1/24"]
  bridges:
    lan:
      interfaces: [enp3s0]
` + bridge("    ") + `
  # VLANs follow
  vlans:
    lan.7: {id: 7, link: lan}
`},
		{"an entry in braces, and no last line end", `network:
  ethernets:
    enp2s0: {dhcp4: true, match: {macaddress: "90:1b:0e:12:34:56"}, set-name: enp2s0} # by MAC
  version: 2`, `network:
  ethernets:
    enp2s0: # by MAC
` + port + `      match: {macaddress: "90:1b:0e:12:34:56"}
      set-name: enp2s0
      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []
  version: 2
  bridges:
` + bridge("    ")},
		{"an empty entry", "network:\n  ethernets:\n    enp2s0:\n    enp3s0: {}\n", `network:
  ethernets:
    enp2s0:
` + port + `      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []
    enp3s0: {}
  bridges:
` + bridge("    ")},
		{"a bridge that was there", `network:
  ethernets:
    enp2s0: {dhcp4: false}
  bridges:
    br0: # by hand
      # for the guests
      interfaces: [enp2s0]
      addresses:
      - 203.0.113.10/32 # main
      parameters: {stp: true} # why not
`, `network:
  ethernets:
    enp2s0:
` + port + `      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []
  bridges:
` + strings.NewReplacer(
			"    br0:\n", "    br0: # by hand\n",
			"again.\n", "again.\n      # for the guests\n      # why not\n",
			"10/32\"\n", "10/32\" # main\n").Replace(bridge("    "))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, after, err := editNetplan([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.out, unsealedText(after.Content)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkEdit(t, before, after)
			// With the other line ends it is the same.
			dos := strings.ReplaceAll(tc.in, "\n", "\r\n")
			if _, after, err = editNetplan([]byte(dos)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(tc.out, "\n", "\r\n"), unsealedText(after.Content)); diff != "" {
				t.Errorf("with CR (-want +got):\n%s", diff)
			}
		})
	}
}

// checkEdit looks at what must be true of every edit.
func checkEdit(t *testing.T, before, after File) {
	t.Helper()
	if string(before.Content) != string(after.Content) && !sealed(after.Content) {
		t.Error("the sum is wrong")
	}
	// Editing again finds nothing to do.
	_, again, err := editNetplan(after.Content)
	if err != nil {
		t.Errorf("can't be edited again: %v\n%s", err, after.Content)
	} else if diff := cmp.Diff(string(after.Content), string(again.Content)); diff != "" {
		t.Errorf("edited again (-once +twice):\n%s", diff)
	}
	// Outside of the uplink's and the bridge's entry every octet stays, in order.
	if kept, got := outside(t, before), outside(t, after); kept != got {
		t.Errorf("something else has changed (-before +after):\n%s", cmp.Diff(kept, got))
	}
	// Comments may move, but none is lost.
	for _, c := range commentsOf(t, before.Content) {
		if !strings.Contains(string(after.Content), c) {
			t.Errorf("the comment %q is lost in\n%s", c, after.Content)
		}
	}
}

// outside is a file's text without the entries of uplink and bridge, and
// without comments that follow or precede them.
func outside(t *testing.T, f File) string {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(f.Content, &doc); err != nil {
		t.Fatal(err)
	}
	n := nic{uplink: "enp2s0", bridge: "br0", mac: wanted().Links[0].MAC}
	nf, err := readNetplan(f, n)
	if err != nil {
		t.Fatal(err)
	}
	text := newYAMLText(f.Content)
	net, _ := find(spans(doc.Content[0], len(text.lines)+1), "network")
	for _, kind := range spans(net.value, net.next) {
		left := 0
		for _, id := range spans(kind.value, kind.next) {
			if slices.ContainsFunc(nf.ours, func(e netplanEntry) bool { return e.kind == kind.key.Value && e.id == id.key.Value }) {
				text.remove(id.first, text.last(id))
			} else {
				left++
			}
		}
		// Without the bridge there may be no such line, or an empty one.
		if kind.key.Value == "bridges" && left == 0 {
			text.remove(kind.first, kind.first)
		}
	}
	for n := range text.lines {
		if text.passedOver(n + 1) {
			text.gone[n+1] = true
		}
	}
	return strings.TrimRight(string(text.bytes()), "\r\n")
}

// commentsOf lists the comments that the YAML library finds in the network's
// configuration.
func commentsOf(t *testing.T, content []byte) []string {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		t.Fatal(err)
	}
	var list []string
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
			for l := range strings.Lines(c) {
				// The sum is no comment of anybody's.
				if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, sumPrefix) {
					list = append(list, l)
				}
			}
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(&doc)
	return list
}

// editSeeds are files of netplan's in various styles.
func editSeeds() []string {
	return []string{
		hetzner,
		hetzner + "    enp3s0:\n      dhcp4: true # lan\n",
		"network:\n  ethernets:\n    enp2s0: {dhcp4: true, mtu: 1400}\n  version: 2",
		"network:\n    ethernets:\n        enp2s0:\n            dhcp4: true # a\n            # b\n            gateway4: 203.0.113.1\n    version: 2\n",
		"---\nnetwork:\n ethernets:\n  enp2s0:\n   addresses:\n   - \"203.0.113.10/32\":\n       label: x # y\n   nameservers:\n     # z\n     addresses: [198.51.100.1,\n       198.51.100.2] # w\n...\n",
		"network:\r\n  ethernets:\r\n    enp2s0:\r\n      dhcp4: true\r\n",
		"network:\n  bridges:\n    br1: {}\n    br0: {interfaces: [enp2s0]}\n  ethernets:\n    \"enp2s0\":\n      match: {name: 'enp2s0'}\n",
		"network:\n  ethernets:\n    enp2s0:\n    enp3s0:\n      nameservers: {search: ['#a', \"b#c\"]} # d\n",
		"network:\n ethernets:\n  enp2s0:\n   addresses: []#00",
	}
}

// Whatever an edit is asked for, it keeps what is not its own or refuses.
func FuzzEdit(f *testing.F) {
	for _, s := range editSeeds() {
		f.Add([]byte(s))
	}
	// Where comments hold more signs of comments, the library's are mixed up.
	odd := regexp.MustCompile(`#[^\n]*#|\t|\x00`)
	f.Fuzz(func(t *testing.T, content []byte) {
		before, after, err := editNetplan(content)
		if err != nil {
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if _, marked, _ := unsealed(content); marked >= 0 || odd.Match(content) {
			return
		}
		nf, err := readNetplan(before, nic{uplink: "enp2s0", bridge: "br0", mac: wanted().Links[0].MAC})
		if err == nil && len(nf.ours) > 0 {
			checkEdit(t, before, after)
		}
	})
}
