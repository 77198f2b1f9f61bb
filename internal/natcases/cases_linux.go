package natcases

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/lab"
)

// Case is one thing that a gateway has to do.
type Case struct {
	Name string
	// Run returns an error where the gateway doesn't do it. It leaves the site
	// as it was.
	Run func(*Site) error
}

// Cases returns all of them.
func Cases() []Case {
	out := []Case{
		{"a file both ways", (*Site).file},
		{"connection refused", (*Site).refused},
		{"UDP port unreachable", (*Site).portUnreachable},
		{"the guest's port unreachable", (*Site).guestPortUnreachable},
		{"traceroute from the guest", (*Site).tracerouteOut},
		{"traceroute to the guest", (*Site).tracerouteIn},
		{"UDP segments from the guest", func(s *Site) error { return s.segments(true) }},
		{"UDP segments to the guest", func(s *Site) error { return s.segments(false) }},
		{"TCP segments without DF", (*Site).tcpWithoutDF},
		{"many connections at once", (*Site).many},
		{"a stateful firewall", (*Site).firewall},
		{"loss, delay and reordering", (*Site).impaired},
	}
	for _, n := range []int{0, 57, 1432, 1433, 10000} {
		out = append(out, Case{fmt.Sprintf("ping of %d", n), func(s *Site) error { return s.ping(n) }})
	}
	for _, n := range []int{1, 1232, 1400, 4096, 20000} {
		out = append(out, Case{fmt.Sprintf("UDP of %d", n), func(s *Site) error { return s.datagrams(n) }})
	}
	for _, n := range []int{100, 1300, 4096} {
		out = append(out, Case{fmt.Sprintf("UDP of %d without a checksum", n), func(s *Site) error { return s.datagrams(n, [3]int{unix.SOL_SOCKET, unix.SO_NO_CHECK, 1}) }})
	}
	for _, mtu := range []int{1280, 1400, 1500} {
		out = append(out, Case{fmt.Sprintf("MTU of %d on the IPv6 side", mtu), func(s *Site) error { return s.mtu6(mtu) }})
	}
	for _, mtu := range []int{1280, 1400} {
		out = append(out, Case{fmt.Sprintf("MTU of %d on the IPv4 side", mtu), func(s *Site) error { return s.mtu4(mtu) }})
	}
	return out
}

// content is the same on both sides.
func content(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// file sends a file each way, and compares by hash.
func (s *Site) file() error { return s.transfer(s.FileSize) }

func (s *Site) transfer(size int) error {
	l, port, err := s.listenTCP()
	if err != nil {
		return err
	}
	defer l.Close()
	one := content(min(size, 1<<20))
	send := func(w io.Writer) error {
		for left := size; left > 0; {
			n, err := w.Write(one[:min(left, len(one))])
			if err != nil {
				return err
			}
			left -= n
		}
		return nil
	}
	want := sha256.New()
	send(want)
	hash := func(r io.Reader) error {
		got := sha256.New()
		if n, err := io.CopyN(got, r, int64(size)); err != nil {
			return fmt.Errorf("after %d octets of %d: %w", n, size, err)
		}
		if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			return errors.New("another hash")
		}
		return nil
	}
	// Ten megabytes a second is slow even for a machine under load.
	deadline := time.Now().Add(6*s.Patience + time.Duration(size/(10<<20))*time.Second)
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		c.SetDeadline(deadline)
		if err := hash(c); err != nil {
			done <- fmt.Errorf("from the guest: %w", err)
			return
		}
		done <- send(c)
	}()
	c, err := s.dialTCP(port)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(deadline)
	if err := send(c); err != nil {
		return fmt.Errorf("from the guest: %w", err)
	}
	if err := hash(c); err != nil {
		return errors.Join(fmt.Errorf("to the guest: %w", err), <-done)
	}
	return <-done
}

// refused: a connection to a closed port ends at once.
func (s *Site) refused() error {
	c, err := s.dialTCP(9)
	if err == nil {
		c.Close()
		return errors.New("connected to a closed port")
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return nil
}

// portUnreachable: an ICMPv4 error becomes what the guest's socket understands.
func (s *Site) portUnreachable() error {
	u, err := s.openUDP()
	if err != nil {
		return err
	}
	defer u.Close()
	u.web.Close()
	u.guest.Write([]byte("x"))
	if _, err := u.guest.Read(make([]byte, 10)); !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("the guest reads: %v", err)
	}
	return nil
}

// guestPortUnreachable is the same the other way round.
func (s *Site) guestPortUnreachable() error {
	u, err := s.openUDP()
	if err != nil {
		return err
	}
	defer u.Close()
	u.guest.Close()
	back, err := s.connectBack(u)
	if err != nil {
		return err
	}
	defer back.Close()
	back.Write([]byte("x"))
	if _, err := back.Read(make([]byte, 10)); !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("the Internet reads: %v", err)
	}
	return nil
}

// connectBack replaces the Internet's socket by one that is connected to the
// guest.
func (s *Site) connectBack(u *udp) (back *net.UDPConn, err error) {
	local := u.web.LocalAddr().(*net.UDPAddr)
	u.web.Close()
	err = s.Web.Do(func() (err error) {
		back, err = net.DialUDP("udp4", local, net.UDPAddrFromAddrPort(u.peer))
		return err
	})
	if err != nil {
		return nil, err
	}
	back.SetDeadline(time.Now().Add(s.Patience))
	return back, nil
}

// datagrams exchanges one of a size each way, that may be fragmented.
func (s *Site) datagrams(size int, options ...[3]int) error {
	u, err := s.openUDP(append(options, [3]int{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT})...)
	if err != nil {
		return err
	}
	defer u.Close()
	want, buf := content(size), make([]byte, 65536)
	if _, err := u.guest.Write(want); err != nil {
		return err
	}
	n, _, err := u.web.ReadFromUDPAddrPort(buf)
	if err != nil || !bytes.Equal(buf[:n], want) {
		return fmt.Errorf("from the guest: %d octets of %d: %v", n, size, err)
	}
	if _, err := u.web.WriteToUDPAddrPort(want, u.peer); err != nil {
		return err
	}
	if n, err = u.guest.Read(buf); err != nil || !bytes.Equal(buf[:n], want) {
		return fmt.Errorf("to the guest: %d octets of %d: %v", n, size, err)
	}
	return nil
}

// udpSegment is UDP_SEGMENT of linux/udp.h.
const udpSegment = 103

// segments sends many datagrams in one call, which the kernel keeps together as
// long as it can.
func (s *Site) segments(out bool) error {
	u, err := s.openUDP()
	if err != nil {
		return err
	}
	defer u.Close()
	const size, count = 1200, 40
	all := content(size*count + 7)
	from, to := u.guest, u.web
	if !out {
		from, to = u.web, u.guest
	}
	if err := to.SetReadBuffer(1 << 20); err != nil {
		return err
	}
	if err := setOption(from, unix.IPPROTO_UDP, udpSegment, size); err != nil {
		return err
	}
	if out {
		_, err = from.Write(all)
	} else {
		_, err = from.WriteToUDPAddrPort(all, u.peer)
	}
	if err != nil {
		return err
	}
	buf := make([]byte, 65536)
	for i := 0; len(all) > 0; i++ {
		n, err := to.Read(buf)
		if err != nil || n != min(size, len(all)) || !bytes.Equal(buf[:n], all[:n]) {
			return fmt.Errorf("datagram %d: %d octets: %v", i, n, err)
		}
		all = all[n:]
	}
	return nil
}

// tcpWithoutDF has a server whose packets may be fragmented, behind which the
// gateway has to make do with 1280 (RFC 7915, section 4).
func (s *Site) tcpWithoutDF() (err error) {
	if err := run(s.Web, "sysctl", "-qw", "net.ipv4.ip_no_pmtu_disc=1"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run(s.Web, "sysctl", "-qw", "net.ipv4.ip_no_pmtu_disc=0")) }()
	return s.transfer(2 << 20)
}

// many opens connections, and lets each say something when all are open.
func (s *Site) many() error {
	l, port, err := s.listenTCP()
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	var mu sync.Mutex
	var errs []error
	var all []net.Conn
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	var wg sync.WaitGroup
	const dialers = 20
	for i := range dialers {
		wg.Go(func() {
			for range (s.Connections + i) / dialers {
				c, err := s.dialTCP(port)
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else {
					all = append(all, c)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return fmt.Errorf("%d of %d failed, one with: %w", len(errs), s.Connections, errs[0])
	}
	for i, c := range all {
		fmt.Fprintf(c, "%08d", i)
	}
	for i, c := range all {
		buf := make([]byte, 8)
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != fmt.Sprintf("%08d", i) {
			return fmt.Errorf("connection %d of %d: %q %v", i, len(all), buf, err)
		}
	}
	return nil
}

// firewall puts the owner's own policy on the host: nothing is forwarded but
// what guests have begun. It must see both halves of the way.
func (s *Site) firewall() (err error) {
	rules := fmt.Sprintf(`table inet owner {
	counter out6 { }
	counter out4 { }
	counter back { }
	chain forward_owner {
		type filter hook forward priority 10; policy drop;
		ct state established,related counter name back accept
		iifname %q oifname %q ct state new counter name out6 accept
		iifname %q oifname %q ct state new counter name out4 accept
	}
}`, GuestLink, s.Device, s.Device, Uplink)
	f, err := os.CreateTemp("", "owner-*.nft")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(rules)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := run(s.Host, "nft", "-f", f.Name()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run(s.Host, "nft", "delete", "table", "inet", "owner")) }()
	if err := s.transfer(1 << 20); err != nil {
		return err
	}
	if err := s.portUnreachable(); err != nil {
		return err
	}
	for _, c := range []string{"out6", "out4", "back"} {
		if c == "out6" && s.IPv4Only {
			continue
		}
		if err := run(s.Host, "sh", "-c", "nft list counter inet owner "+c+" | grep -q 'packets [1-9]'"); err != nil {
			return fmt.Errorf("the firewall has not seen %s: %w", c, err)
		}
	}
	return nil
}

// impaired has the provider's router lose, delay, double and reorder packets.
func (s *Site) impaired() (err error) {
	r, err := lab.NewRelay(s.Isp, lab.Impairment{
		Loss: 0.01, Duplicate: 0.02, Reorder: 0.03, Delay: 2 * time.Millisecond, Jitter: time.Millisecond, Hold: 3 * time.Millisecond, Seed: 20,
	}, "isp0", "isp1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := s.transfer(1 << 20); err != nil {
		return err
	}
	if seen, lost := r.Counts(); seen < 200 || lost == 0 {
		return fmt.Errorf("the relay saw %d packets and lost %d: nothing was impaired", seen, lost)
	}
	return nil
}

// ping sends an echo request with so many octets and takes the reply.
func (s *Site) ping(size int) error {
	return s.Guest.Do(func() error {
		c, err := icmp.ListenPacket("ip6:ipv6-icmp", "::")
		if err != nil {
			return err
		}
		defer c.Close()
		data := content(size)
		b, err := (&icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: 4711, Seq: size, Data: data}}).Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(b, &net.IPAddr{IP: net.ParseIP(Web6)}); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(s.Patience))
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return fmt.Errorf("wait for the reply: %w", err)
			}
			m, err := icmp.ParseMessage(58, buf[:n])
			if err != nil {
				return err
			}
			if m.Type != ipv6.ICMPTypeEchoReply {
				continue
			}
			echo, ok := m.Body.(*icmp.Echo)
			if !ok || echo.Seq != size {
				continue
			}
			if !bytes.Equal(echo.Data, data) || from.String() != net.ParseIP(Web6).String() {
				return fmt.Errorf("another reply of %d octets from %s", len(echo.Data), from)
			}
			return nil
		}
	})
}

// tracerouteOut: every hop answers, the provider's router by the address that
// stands for it.
func (s *Site) tracerouteOut() error {
	var hops []string
	for limit := 1; limit <= 8; limit++ {
		from, end, err := s.hopOut(limit)
		if err != nil {
			return fmt.Errorf("hop %d, behind %v: %w", limit, hops, err)
		}
		hops = append(hops, from.String())
		if !end {
			continue
		}
		switch {
		case from != netip.MustParseAddr(Web6):
			return fmt.Errorf("the way ends at %s: %v", from, hops)
		case hops[0] != Host6:
			return fmt.Errorf("the first hop is not the host: %v", hops)
		case !slices.Contains(hops, netip.MustParseAddr("64:ff9b::"+Isp4).String()):
			return fmt.Errorf("the provider's router is missing: %v", hops)
		case len(hops) < 3:
			return fmt.Errorf("hops are missing: %v", hops)
		}
		return nil
	}
	return fmt.Errorf("no end: %v", hops)
}

func (s *Site) hopOut(limit int) (from netip.Addr, end bool, err error) {
	err = s.Guest.Do(func() error {
		c, err := icmp.ListenPacket("ip6:ipv6-icmp", "::")
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.IPv6PacketConn().SetHopLimit(limit); err != nil {
			return err
		}
		b, err := (&icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: 100 + limit, Seq: 1}}).Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(b, &net.IPAddr{IP: net.ParseIP(Web6)}); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(s.Patience))
		buf := make([]byte, 2000)
		for {
			n, peer, err := c.ReadFrom(buf)
			if err != nil {
				return err
			}
			from, _ = netip.AddrFromSlice(peer.(*net.IPAddr).IP)
			switch {
			case buf[0] == 129 && n >= 8 && int(buf[4])<<8|int(buf[5]) == 100+limit:
				end = true
				return nil
			case buf[0] == 3 && n >= 8+40+8 && int(buf[52])<<8|int(buf[53]) == 100+limit:
				return nil
			}
		}
	})
	return from, end, err
}

// tracerouteIn: towards the guest every hop answers too, the host for the IPv6
// side, from its IPv4 address (RFC 6791).
func (s *Site) tracerouteIn() error {
	u, err := s.openUDP()
	if err != nil {
		return err
	}
	defer u.Close()
	var listener *icmp.PacketConn
	if err := s.Web.Do(func() (err error) { listener, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0"); return err }); err != nil {
		return err
	}
	defer listener.Close()
	got := make(chan struct{}, 1)
	go func() {
		if _, err := u.guest.Read(make([]byte, 10)); err == nil {
			got <- struct{}{}
		}
	}()
	var hops []string
	for limit := 1; limit <= 8; limit++ {
		if err := ipv4.NewConn(u.web).SetTTL(limit); err != nil {
			return err
		}
		if _, err := u.web.WriteToUDPAddrPort([]byte("x"), u.peer); err != nil {
			return err
		}
		hop := make(chan string, 1)
		listener.SetReadDeadline(time.Now().Add(s.Patience))
		go func() {
			buf := make([]byte, 2000)
			for {
				n, from, err := listener.ReadFrom(buf)
				if err != nil {
					return
				}
				if n > 28+8 && buf[0] == byte(ipv4.ICMPTypeTimeExceeded) && buf[8+9] == 17 {
					hop <- from.String()
					return
				}
			}
		}()
		select {
		case h := <-hop:
			hops = append(hops, h)
		case <-got:
			if len(hops) < 2 || !slices.Contains(hops, "203.0.114.1") || !slices.Contains(hops, Host4) {
				return fmt.Errorf("hops are missing: %v", hops)
			}
			return nil
		case <-time.After(s.Patience):
			return fmt.Errorf("hop %d is silent, behind %v", limit, hops)
		}
	}
	return fmt.Errorf("no end: %v", hops)
}

// mtu6 has a way of less than Ethernet's MTU towards the guest: who sends from
// IPv4 what must not be fragmented is told, and data gets through.
func (s *Site) mtu6(mtu int) (err error) {
	if mtu < 1500 {
		if err := ip(s.Host, fmt.Sprintf("-6 route add %s/128 dev %s mtu %d", Guest, GuestLink, mtu)); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, ip(s.Host, fmt.Sprintf("-6 route del %s/128 dev %s", Guest, GuestLink)))
		}()
	}
	u, err := s.openUDP()
	if err != nil {
		return err
	}
	defer u.Close()
	back, err := s.connectBack(u)
	if err != nil {
		return err
	}
	defer back.Close()
	if err := setOption(back, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO); err != nil {
		return err
	}
	if got, err := s.learn(back, mtu-28, unix.IPPROTO_IP, unix.IP_MTU); err != nil || got != mtu-20 {
		return fmt.Errorf("the IPv4 side learned %d, want %d: %v", got, mtu-20, err)
	}
	// What it has learned is forgotten with the route's exceptions.
	defer func() { err = errors.Join(err, ip(s.Web, "route flush cache")) }()
	return s.transfer(1 << 20)
}

// mtu4 is the same on the way to the IPv4 Internet.
func (s *Site) mtu4(mtu int) (err error) {
	both := func(mtu int) error {
		return errors.Join(ip(s.Isp, fmt.Sprintf("link set isp1 mtu %d", mtu)), ip(s.Web, fmt.Sprintf("link set eth0 mtu %d", mtu)))
	}
	if err := both(mtu); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, both(1500), ip(s.Guest, "-6 route flush cache"), ip(s.Host, "route flush cache"))
	}()
	u, err := s.openUDP()
	if err != nil {
		return err
	}
	defer u.Close()
	if err := setOption(u.guest, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO); err != nil {
		return err
	}
	if got, err := s.learn(u.guest, mtu+20-48+10, unix.IPPROTO_IPV6, unix.IPV6_MTU); err != nil || got != mtu+20 {
		return fmt.Errorf("the guest learned %d, want %d: %v", got, mtu+20, err)
	}
	return s.transfer(1 << 20)
}

// learn sends datagrams until the socket's path has another MTU.
func (s *Site) learn(c *net.UDPConn, size, level, opt int) (int, error) {
	before, err := getOption(c, level, opt)
	if err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(s.Patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		now, err := getOption(c, level, opt)
		if err != nil {
			return 0, err
		}
		if now != before {
			return now, nil
		}
		c.Write(make([]byte, size))
	}
	return before, errors.New("nothing was learned")
}
