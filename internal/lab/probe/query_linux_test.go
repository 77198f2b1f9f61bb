package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// startNamed runs BIND for the zone example in a namespace, as another
// implementation to read the answers of.
func startNamed(t *testing.T, ns *netns.NS) {
	t.Helper()
	dir := t.TempDir()
	long := ""
	for i := range 60 {
		long += fmt.Sprintf("many AAAA 2001:db8::%x\n", i+1)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("zone", "$TTL 60\n@ SOA ns.example. root.example. 1 60 60 60 60\n@ NS ns\nns AAAA 2001:db8::10\nns A 203.0.113.10\nwww CNAME ns\nv4 A 203.0.114.5\n"+long)
	write("named.conf", fmt.Sprintf(`options { directory %q; pid-file none; session-keyfile none; listen-on { 203.0.113.10; }; listen-on-v6 { 2001:db8::10; };
recursion no; dnssec-validation no; max-udp-size 512; };
controls {};
zone "example" { type primary; file "zone"; };
`, dir))
	args := []string{"-g", "-c", filepath.Join(dir, "named.conf"), "-n", "1"}
	cmd := exec.Command(nstest.Tool(t, "named"), args...)
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

func TestQuery(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	startNamed(t, far)
	for _, server := range []netip.AddrPort{netip.AddrPortFrom(far4, 53), netip.AddrPortFrom(far6, 53)} {
		// named needs a moment; until then the port is refused.
		end := time.Now().Add(20 * time.Second)
		for {
			_, err := Query(within(t, time.Second), near, server, "ns.example", TypeA, false)
			if err == nil {
				break
			}
			if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNoAnswer) || time.Now().After(end) {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		for _, tcp := range []bool{false, true} {
			ask := func(name string, qtype uint16) Answer {
				t.Helper()
				a, err := Query(within(t, 10*time.Second), near, server, name, qtype, tcp)
				if err != nil {
					t.Errorf("%s over TCP %t: %v", name, tcp, err)
				}
				return a
			}
			if a := ask("WWW.example.", TypeAAAA); !a.Authoritative || len(a.Addrs("www.example", TypeAAAA)) != 1 || a.Addrs("www.example", TypeAAAA)[0] != far6 {
				t.Errorf("www AAAA: %+v", a)
			}
			if a := ask("v4.example", TypeAAAA); a.RCode != NoError || len(a.Records) != 0 {
				t.Errorf("v4 AAAA: %+v", a)
			}
			if a := ask("none.example", TypeA); a.RCode != NXDomain {
				t.Errorf("none A: %+v", a)
			}
			if a := ask("elsewhere.test", TypeA); a.RCode != Refused {
				t.Errorf("elsewhere: %+v", a)
			}
			if a := ask("many.example", TypeAAAA); a.Truncated == tcp || tcp && len(a.Records) != 60 {
				t.Errorf("many over TCP %t: truncated %t, %d records", tcp, a.Truncated, len(a.Records))
			}
		}
		r := Resolver{Server: server}
		if addrs, err := r.Lookup(within(t, 10*time.Second), near, "many.example"); err != nil || len(addrs) != 60 {
			t.Errorf("look up many: %d addresses, %v", len(addrs), err)
		}
		if addrs, err := r.Lookup(within(t, 10*time.Second), near, "v4.example"); err != nil || len(addrs) != 1 || !addrs[0].Is4() {
			t.Errorf("look up v4: %v, %v", addrs, err)
		}
		if _, err := r.Lookup(within(t, 10*time.Second), near, "none.example"); err == nil {
			t.Error("look up none: no error")
		}
		if a := TryDNS(context.Background(), near, server, "v4.example", TypeA, 10*time.Second); a.Outcome != Answered || a.RCode != NoError {
			t.Errorf("%v", a)
		}
	}
}

// TestQueryKeepsWaiting has a server answer another question first, and drop
// the first datagram.
func TestQueryKeepsWaiting(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	var conn net.PacketConn
	nstest.Do(t, far, func() (err error) {
		conn, err = net.ListenPacket("udp", netip.AddrPortFrom(far6, 53).String())
		return err
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for i := 0; ; i++ {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if i == 0 {
				continue
			}
			answer := append([]byte(nil), buf[:n]...)
			answer[2] |= 0x80
			wrong := append([]byte(nil), answer...)
			binary.BigEndian.PutUint16(wrong, binary.BigEndian.Uint16(wrong)+1)
			conn.WriteTo(wrong, from)
			conn.WriteTo(answer, from)
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	start := time.Now()
	if _, err := Query(within(t, 10*time.Second), near, netip.AddrPortFrom(far6, 53), "a.example", TypeA, false); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("answered after %v, want the second datagram to be", took)
	}
}

func TestQueryFails(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	server := netip.AddrPortFrom(far6, 53)
	for _, tcp := range []bool{false, true} {
		if _, err := Query(within(t, 10*time.Second), near, server, "a.example", TypeA, tcp); !errors.Is(err, ErrRefused) {
			t.Errorf("closed port, TCP %t: %v", tcp, err)
		}
	}
	nstest.Output(t, far, "nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in meta l4proto { tcp, udp } drop")
	for _, tcp := range []bool{false, true} {
		if _, err := Query(within(t, 200*time.Millisecond), near, server, "a.example", TypeA, tcp); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("dropped, TCP %t: %v", tcp, err)
		}
	}
	if _, err := Query(within(t, time.Second), near, server, "a..b", TypeA, false); err == nil {
		t.Error("bad name: no error")
	}
}

// TestExchangeTCPCut has the server close inside a message.
func TestExchangeTCPCut(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		io.ReadFull(b, make([]byte, 3))
		b.Write([]byte{0, 10, 1})
		b.Close()
	}()
	err := exchangeTCP(context.Background(), a, []byte{1}, func([]byte) error { return nil })
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}
