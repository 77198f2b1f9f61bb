package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/nstest"
)

// dhcpClient is a program that asks for the NIC's IPv4 address.
type dhcpClient struct {
	name string
	// args go before the link's name. It stays in the foreground.
	args []string
	// says is what it says when it has a lease.
	says string
	// renews: it gives an address that is there the lease's lifetime.
	renews bool
	// leave ends it so that the address stays.
	leave func(m *managed)
}

func dhcpClients() []dhcpClient {
	return []dhcpClient{
		{"dhclient", []string{"-4", "-d", "-pf", "/run/dhclient.pid", "-lf", "/run/dhclient.leases"}, "bound to 203.0.113.10", false, func(m *managed) {
			m.must(nstest.Tool(m.t, "dhclient"), "-x", "-pf", "/run/dhclient.pid")
			m.manager.Wait()
		}},
		// Without the hooks it leaves the machine's own name servers alone.
		{"dhcpcd", []string{"-4", "-B", "--persistent", "--noarp", "--script", "/bin/true"}, "leased 203.0.113.10", true, func(m *managed) { end(m.manager) }},
	}
}

// serveDHCP has the provider hand the server's address out.
func (m *managed) serveDHCP() {
	m.t.Helper()
	h, err := m.provider.Handle()
	if err != nil {
		m.t.Fatal(err)
	}
	defer h.Close()
	srv, err := h.LinkByName("srv")
	if err != nil {
		m.t.Fatal(err)
	}
	// The range must be in a prefix of the link.
	if err := ifaddr.AddText(h, srv, "203.0.113.1/24"); err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(nstest.Tool(m.t, "dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--port=0", "--leasefile-ro",
		"--log-facility=/dev/null", "--dhcp-authoritative", "--no-ping", "--interface=srv",
		"--dhcp-range=203.0.113.10,203.0.113.10,255.255.255.0,1h", "--dhcp-option=option:router,203.0.113.1")
	if err := m.provider.Start(cmd); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { end(cmd) })
}

// lifetime is how long the leased address is valid on a link, in seconds.
func (m *managed) lifetime(link string) (seconds float64, there bool) {
	m.t.Helper()
	var links []struct {
		Info []struct {
			Local string  `json:"local"`
			Valid float64 `json:"valid_life_time"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(m.must("ip", "-j", "-4", "addr", "show", "dev", link)), &links); err != nil {
		m.t.Fatal(err)
	}
	for _, l := range links {
		for _, a := range l.Info {
			if a.Local == "203.0.113.10" {
				return a.Valid, true
			}
		}
	}
	return 0, false
}

// leased waits until the client says so for the nth time.
func (m *managed) leased(client dhcpClient, n int) {
	m.t.Helper()
	m.eventually("a lease", func() error {
		if said := m.said(); strings.Count(said, client.says) != n {
			return errors.New(said)
		}
		return nil
	})
}

// TestDHCPClients: a real client that has the NIC is named before anything
// changes. Once it has ended, what it has left has a lifetime, which is refused
// too, unless it is to be permanent. A client of the bridge's own is welcome.
func TestDHCPClients(t *testing.T) {
	for _, client := range dhcpClients() {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			m := newUnmanaged(t, nil)
			m.serveDHCP()
			for _, line := range []string{"link set lo up", "link set enp2s0 up", "addr add 2001:db8:1:3::2/64 dev enp2s0 nodad", "route add default via fe80::1 dev enp2s0"} {
				m.must("ip", strings.Fields(line)...)
			}
			tool := nstest.Tool(t, client.name)
			m.start(tool, append(client.args, "enp2s0")...)
			m.leased(client, 1)
			m.answers("by the lease")
			const plain, static = "persist: {format: none}\n", "persist: {format: none}\nstatic: true\n"
			inCharge := "fullhost: uplink enp2s0: " + client.name + " is in charge of it and would undo the move; "
			m.refused(m.config(plain), inCharge)
			m.refused(m.config(static), inCharge)

			client.leave(m)
			m.answers("by what the client left")
			m.refused(m.config(plain), "fullhost: uplink enp2s0: its address 203.0.113.10/24 has a lifetime (DHCP or router advertisements), and nothing would renew it on the bridge; ")
			config := m.config(static)
			a := m.begin(config)
			m.answers("applied")
			m.run("confirm", "-f", config)
			if err := a.cmd.Wait(); err != nil {
				t.Errorf("apply after the confirmation: %v", err)
			}
			m.answers("confirmed")
			if s, there := m.lifetime("br0"); !there || s != forever {
				t.Errorf("the address is on br0: %t, for %v s", there, s)
			}
			if _, there := m.lifetime("enp2s0"); there {
				t.Error("the address is on enp2s0 still")
			}

			m.start(tool, append(client.args, "br0")...)
			m.leased(client, 2)
			m.answers("by the lease of br0")
			if client.renews {
				m.eventually("a lifetime", func() error {
					if s, there := m.lifetime("br0"); !there || s == forever {
						return errors.New(m.said())
					}
					return nil
				})
			}
			for _, text := range []string{plain, static} {
				config := m.config(text)
				if out := m.run("plan", "-f", config); text == plain && !strings.Contains(out, "Nothing to do") {
					t.Errorf("with a client on br0 there is something to do:\n%s", out)
				}
			}
		})
	}
}
