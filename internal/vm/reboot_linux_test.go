package vm

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// TestReboots has the server's whole life at providers of several kinds: it is
// set up, confirmed and rebooted, and its network manager restarted. A guest that
// talks from the bridge's first moments on is never heard.
func TestReboots(t *testing.T) {
	p := full(t)
	for _, site := range []site{networkd(), netplan(), vlan(), bond(), netplanVLAN()} {
		t.Run(site.name, func(t *testing.T) {
			s := start(t, p, site)
			s.apply()
			t.Log(s.run("fullhost confirm"))
			s.reachable("after confirm", 10*time.Second)
			s.guestSent()
			s.clean("before the reboot")

			s.reboot("reboot")
			if got := s.run("cat /proc/sys/net/ipv6/conf/all/forwarding"); got != "1" {
				t.Errorf("forwarding is %q", got)
			}
			s.hasBridge(true)
			// The rules are there because the boot put them there, and they are the
			// wanted ones.
			if got := s.run("systemctl is-active sixhost-edge"); got != "active" {
				t.Errorf("the edge's unit is %s", got)
			}
			if out := s.run("fullhost edge -load /etc/sixhost/edge.json"); out != "" {
				t.Errorf("the rules of the boot are not those of the file: %s", out)
			}
			s.dropped()
			s.clean("after the reboot")

			s.run("systemctl restart systemd-networkd")
			for range 5 {
				time.Sleep(time.Second)
				s.reachable("after networkd was restarted", 10*time.Second)
			}
			s.dropped()
			s.clean("after networkd was restarted")

			// The program that serves found the rules and the bridge as it wants them,
			// and made what a boot leaves out.
			s.run("timeout 300 sh -c 'until systemctl -q is-active sixhost.service; do sleep 1; done'")
			if plan := s.run("fullhost plan"); !strings.Contains(plan, "Nothing to do") {
				t.Errorf("after the boot the host is not as wanted:\n%s", plan)
			}
			s.reachable("while it serves", 10*time.Second)
			if site.name == "netplan" { // networkd's folder below /run is there from the boot on
				s.mayWrite()
				s.managed()
			}
			s.clean("while it serves")

			t.Logf("%d frames judged, the whole took %.0f s", s.lab.Judge().Report().Frames, time.Since(s.begin).Seconds())
		})
	}
}

// mayWrite looks at the file systems as the service has them: what it takes to
// take back a change that was cut off can be written, and the rest can't.
func (s *server) mayWrite() {
	s.t.Helper()
	out := s.run(`nsenter -m -t $(systemctl show -P MainPID sixhost) sh -c '
		for f in /run/systemd/network/try /run/sixhost/try /run/systemd/try /etc/try /usr/try /root/try; do
			touch $f 2>/dev/null && rm $f && echo $f
		done
		echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/all/forwarding && echo sysctl'; true`)
	if want := "/run/systemd/network/try\n/run/sixhost/try\nsysctl"; out != want {
		s.t.Errorf("the service may write %q, want %q; its mounts below /run:\n%s", out, want,
			s.run("grep ' /run' /proc/$(systemctl show -P MainPID sixhost)/mountinfo"))
	}
}

// TestJudgeHearsTheGuest is the proof that TestReboots can fail: without the
// unit that loads the edge's rules at boot, the guest is heard.
func TestJudgeHearsTheGuest(t *testing.T) {
	s := start(t, full(t), networkd())
	s.apply()
	s.run("fullhost confirm")
	s.clean("before the reboot")
	s.run("systemctl disable sixhost-edge.service")
	s.reboot("reboot without the edge's unit")
	s.guestSent()
	r := s.lab.Judge().Report()
	for _, k := range []wire.Kind{wire.ForeignSource, wire.ForeignInside, wire.RouterAdvertisement, wire.GuestMulticast} {
		if r.Counts[k] == 0 {
			t.Errorf("no %v was seen", k)
		}
	}
	t.Logf("%d offences in %d frames", r.Offences(), r.Frames)
}

// TestResetBeforeConfirm presses the reset button between apply and confirm: the
// server comes up with its old network.
func TestResetBeforeConfirm(t *testing.T) {
	s := start(t, full(t), networkd())
	files := "cd / && find etc run/systemd/network -newer usr/local/bin/fullhost -type f -o -newer usr/local/bin/fullhost -type l | sort"
	before := s.run(files)
	s.apply()
	s.hasBridge(true)
	s.begin = time.Now()
	if err := s.m.Reset(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.booted("reset before confirm")
	s.hasBridge(false)
	if after := s.run(files); after != before {
		t.Errorf("files that were written:\nbefore\n%s\nafter\n%s", before, after)
	}
	s.clean("after the reset")
}

// TestResetInConfirm presses the reset button while the files of the next boot are
// being written: the server comes up with its old network or the new one.
func TestResetInConfirm(t *testing.T) {
	s := start(t, full(t), networkd())
	s.apply()
	const log = "/run/confirm.log"
	n := 1 + rand.N(9)
	t.Logf("reset when step %d has begun", n)
	go s.m.Run(s.ctx, "fullhost confirm >"+log+" 2>&1")
	s.run(fmt.Sprintf("timeout 300 sh -c \"until grep -q '^.%d/' %s; do :; done\"", n, log))
	s.begin = time.Now()
	if err := s.m.Reset(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.booted("reset in the middle of confirm")
	t.Logf("it came up with\n%s\nand\n%s", s.run("ip -br addr"), s.run("find /etc/systemd/network /etc/sysctl.d /etc/sixhost /etc/systemd/system -newer /usr/local/bin/fullhost | sort"))
	s.clean("after the reset")
	// What is left is for a second attempt.
	if out, err := s.m.Run(s.ctx, "fullhost confirm"); err != nil {
		t.Logf("confirm again: %v\n%s", err, out)
		s.apply()
		s.run("fullhost confirm")
	}
	s.reboot("reboot after the second attempt")
	s.hasBridge(true)
	s.clean("after the second attempt")
}

// dropped waits until the guest has said all it has to say once more, and fails
// the test if the edge has not dropped some of it.
func (s *server) dropped() {
	s.t.Helper()
	sent := s.guestSent()
	out := s.run("nft list counter bridge sixhost_edge guest-to-uplink")
	if strings.Contains(out, "packets 0 ") || !strings.Contains(out, "packets ") {
		s.t.Errorf("the guest has sent %d frames, and none was dropped: %s", sent, out)
	}
}

// hasBridge says whether the uplink must be a port of br0.
func (s *server) hasBridge(want bool) {
	s.t.Helper()
	out := s.run("ip -o link show dev " + s.site.uplink)
	if strings.Contains(out, " master br0 ") != want {
		s.t.Errorf("port of br0: want %v: %s", want, out)
	}
}

// managed has systemd reload and restart the service, which is no failure to it,
// and looks whether the service could do all that its unit means it to.
func (s *server) managed() {
	s.t.Helper()
	s.run("systemctl reload sixhost && systemctl restart sixhost && systemctl is-active sixhost")
	said := s.run("journalctl -b -q --no-pager -u sixhost")
	for word, wanted := range map[string]bool{
		"the file was read again":            true,
		"Deactivated successfully":           true,
		"Failed with result":                 false,
		"what leaves by the uplink is count": false, // in part, without BPF
		"Operation not permitted":            false,
		"permission denied":                  false,
	} {
		if strings.Contains(said, word) != wanted {
			s.t.Errorf("the journal holds %q: %v\n%s", word, !wanted, said)
		}
	}
}
