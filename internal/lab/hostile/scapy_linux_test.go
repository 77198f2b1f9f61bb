package hostile

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"slices"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// decoded is what scapy sees in a frame.
type decoded struct {
	Layers   []string `json:"layers"`
	Checksum *bool    `json:"checksum"`
}

func (d decoded) has(layers ...string) bool {
	return !slices.ContainsFunc(layers, func(l string) bool { return !slices.Contains(d.Layers, l) })
}

// scapy takes all frames of the attacks apart, in their order.
func scapy(t *testing.T, list []Attack) (all [][]decoded) {
	t.Helper()
	var in bytes.Buffer
	for _, a := range list {
		for _, f := range a.Frames {
			in.WriteString(hex.EncodeToString(f) + "\n")
		}
	}
	cmd := exec.Command("/usr/bin/python3", "testdata/decode.py")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &errs
	if err := cmd.Run(); err != nil {
		if bytes.Contains(errs.Bytes(), []byte("No module named 'scapy'")) {
			nstest.Tool(t, "scapy") // skips with its name
		}
		t.Fatalf("scapy: %v\n%s", err, errs.Bytes())
	}
	d := json.NewDecoder(&out)
	for _, a := range list {
		frames := make([]decoded, len(a.Frames))
		for i := range frames {
			if err := d.Decode(&frames[i]); err != nil {
				t.Fatalf("scapy, %q, frame %d: %v", a.Name, i, err)
			}
		}
		all = append(all, frames)
	}
	return all
}

// TestScapyAgrees: each attack's frames are what its name says, as somebody else
// sees it. Of those that mix several, each kind must be there.
func TestScapyAgrees(t *testing.T) {
	s := stage()
	every := map[string][]string{ // layers of each frame
		"router advertisement":                      {"IPv6", "ICMPv6ND_RA", "ICMPv6NDOptPrefixInfo", "ICMPv6NDOptRDNSS", "ICMPv6NDOptSrcLLAddr"},
		"redirect":                                  {"IPv6", "ICMPv6ND_Redirect", "ICMPv6NDOptDstLLAddr"},
		"DHCP server answers":                       {"IP", "UDP", "BOOTP", "DHCP"},
		"DHCPv6 server answers":                     {"IPv6", "UDP"},
		"fragmented neighbour discovery":            {"IPv6", "IPv6ExtHdrFragment"},
		"multicast listener queries":                {"IPv6", "IPv6ExtHdrHopByHop", "ICMPv6MLQuery2"},
		"solicitations for absent hosts":            {"IPv6", "ICMPv6ND_NS", "ICMPv6NDOptSrcLLAddr"},
		"packets to absent hosts, through the host": {"IPv6", "ICMPv6EchoRequest"},
	}
	some := map[string][][]string{ // sets of layers, each of some frame
		"router advertisement behind extension headers": {
			{"IPv6ExtHdrHopByHop", "ICMPv6ND_RA"}, {"IPv6ExtHdrDestOpt", "ICMPv6ND_RA"}, {"IPv6ExtHdrRouting", "ICMPv6ND_RA"},
			{"IPv6ExtHdrFragment", "ICMPv6ND_RA"}, {"IPv6ExtHdrHopByHop", "IPv6ExtHdrDestOpt", "ICMPv6ND_RA"}, {"IPv6ExtHdrFragment", "IPv6ExtHdrDestOpt"},
		},
		"neighbour spoofing: other guests and the host": {{"ICMPv6ND_NA", "ICMPv6NDOptDstLLAddr"}, {"ICMPv6ND_NS", "ICMPv6NDOptSrcLLAddr"}, {"ICMPv6ND_RS", "ICMPv6NDOptSrcLLAddr"}},
		"neighbour spoofing: the gateway":               {{"ICMPv6ND_NA", "ICMPv6NDOptDstLLAddr"}, {"ICMPv6ND_NS", "ICMPv6NDOptSrcLLAddr"}},
		"flood of router solicitations":                 {{"ICMPv6ND_RS", "ICMPv6NDOptSrcLLAddr"}},
		"DHCPv6 server answers":                         {{"DHCP6_Advertise"}, {"DHCP6_Reply"}},
		"fragmented neighbour discovery":                {{"ICMPv6ND_NA"}, {"ICMPv6ND_NS"}},
		"VLAN tags":                                     {{"Dot1Q", "ICMPv6ND_RA"}, {"Dot1Q", "ARP"}, {"Dot1AD"}},
		"stacked VLAN tags":                             {{"Dot1AD", "Dot1Q", "ICMPv6ND_RA"}, {"Dot1Q", "ICMPv6ND_Redirect"}},
		"LLDP, spanning tree, CDP and their like":       {{"LLDPDU"}, {"Dot3", "LLC", "STP"}, {"Dot3", "LLC", "SNAP", "CDPv2_HDR"}},
		"foreign source address":                        {{"IPv6", "ICMPv6EchoRequest"}, {"IPv6", "UDP"}, {"IP", "ICMP"}},
		"ARP spoofing":                                  {{"ARP"}},
		"foreign source MAC":                            {{"IPv6", "ICMPv6EchoRequest"}, {"ARP"}},
	}
	unchecked := map[string]bool{"jumbo and runt frames": true, randomName: true}
	var list []Attack
	for _, a := range FromGuest(s, 1) {
		if unchecked[a.Name] || len(a.Frames) > 400 {
			// Cut short, random, or so many of one kind that some will do.
			a.Frames = a.Frames[:min(len(a.Frames), 20)]
		}
		// Below the shortest header there is nothing to see.
		a.Frames = slices.DeleteFunc(slices.Clone(a.Frames), func(f []byte) bool { return len(f) < 14 })
		list = append(list, a)
	}
	for i, frames := range scapy(t, list) {
		a := list[i]
		for j, f := range frames {
			if want := every[a.Name]; !f.has(want...) {
				t.Errorf("%q, frame %d is %v, want %v", a.Name, j, f.Layers, want)
			}
			if f.Checksum != nil && !*f.Checksum && !unchecked[a.Name] {
				t.Errorf("%q, frame %d, %v: the checksum is wrong", a.Name, j, f.Layers)
			}
		}
		for _, want := range some[a.Name] {
			if !slices.ContainsFunc(frames, func(f decoded) bool { return f.has(want...) }) {
				t.Errorf("%q has no frame of %v", a.Name, want)
			}
		}
		delete(every, a.Name)
		delete(some, a.Name)
	}
	for name := range every {
		t.Errorf("there is no attack %q", name)
	}
	for name := range some {
		t.Errorf("there is no attack %q", name)
	}
}
