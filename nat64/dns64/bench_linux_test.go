package dns64

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
	"github.com/sixhost/sixhost/internal/nstest"
)

// BenchmarkQuery asks one question at a time by UDP. The processor time
// reported is that of server, client and, for misses, both upstream exchanges
// with a server in this process.
func BenchmarkQuery(b *testing.B) {
	for _, kind := range []string{"hit", "miss"} {
		b.Run(kind, func(b *testing.B) {
			ns := namespace(b)
			ttl := uint32(3600)
			if kind == "miss" {
				ttl = 0
			}
			up := wireServer(b, ns, func(q []byte) [][]byte {
				return [][]byte{reply(q, func(m *dnsmsg.Msg) {
					if m.Question[0].Qtype == dnsmsg.TypeA {
						m.Answer = append(m.Answer, rrA(m.Question[0].Name, "192.0.3.1", ttl))
					} else {
						m.Ns = append(m.Ns, rrSOA("example.", ttl, ttl))
					}
				})}
			}, nothing)
			s, at := serve(b, ns, Config{Upstreams: []netip.AddrPort{up}})
			var c net.Conn
			nstest.Do(b, ns, func() (err error) {
				c, err = net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(guestAddr)}, net.UDPAddrFromAddrPort(at))
				return err
			})
			defer c.Close()
			query, err := dnsmsg.Query(1, ask("www.example.", dnsmsg.TypeAAAA), dnsmsg.QueryOptions{RD: true, UDPSize: 1232})
			if err != nil {
				b.Fatal(err)
			}
			in := make([]byte, 1500)
			c.SetDeadline(time.Now().Add(time.Minute))
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				if _, err := c.Write(query); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Read(in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
			if st := s.Stats(); (st.CacheHits > 0) != (kind == "hit") {
				b.Errorf("counters: %+v", st)
			}
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
