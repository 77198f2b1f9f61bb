package ra

import (
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// RadvdError says what in a radvd.conf can't be taken over, and where.
type RadvdError struct {
	// File and Line, from 1.
	File string
	Line int
	// Reason is a sentence.
	Reason string
}

// Error returns "File:Line: Reason".
func (e *RadvdError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// longestRadvd is far above what any link's configuration needs.
const longestRadvd = 1 << 20

// ParseRadvd reads a radvd.conf as radvd 2.19 does, with the statements for
// NAT64 prefixes and captive portals of later versions. It returns a Config for
// every interface that radvd advertises on (AdvSendAdvert on; off is radvd's
// default), in the file's order, with everything explicit that is a default of
// radvd's and differs from package ra's: guests are told the same. now is where
// lifetimes with DecrementLifetimes count down from.
//
// What radvd can do and this package can't is an error, not left out: the error
// is a [*RadvdError] with the line. These mean nothing here and are read over:
// IgnoreIfMissing, as a server always waits for its interface; DeprecatePrefix,
// RemoveRoute, FlushRDNSS and FlushDNSSL on, as all is taken back at the end;
// AdvRDNSSPreference and AdvRDNSSOpen, which radvd ignores too; whatever turns
// off what isn't there.
//
// One thing differs by choice: radvd answers solicitations at once, the Config
// by RFC 4861's default; see [Config.SolicitedDelay].
func ParseRadvd(file string, r io.Reader, now time.Time) (list []Config, err error) {
	b, err := io.ReadAll(io.LimitReader(r, longestRadvd+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	p := &radvdParser{lexer: lexer{text: string(b), line: 1}, file: file, now: now}
	if len(b) > longestRadvd {
		p.line = 1 + strings.Count(p.text, "\n")
		return nil, p.errorf("the file is longer than %d octets", longestRadvd)
	}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *RadvdError:
			list, err = nil, e
		default:
			panic(e)
		}
	}()
	return p.interfaces(), nil
}

// lexer splits a radvd.conf into words and the four marks.
type lexer struct {
	text string
	line int // of what next returned last
}

// next returns a token, or "" at the end.
func (l *lexer) next() string {
	for l.text != "" {
		switch c := l.text[0]; {
		case c == '\n':
			l.line++
			l.text = l.text[1:]
		case c == ' ', c == '\t':
			l.text = l.text[1:]
		case c == '#':
			end := strings.IndexByte(l.text, '\n')
			if end < 0 {
				end = len(l.text)
			}
			l.text = l.text[end:]
		case strings.IndexByte("{};/", c) >= 0:
			l.text = l.text[1:]
			return string(c)
		case c == '"':
			end := strings.IndexAny(l.text[1:], "\"\n")
			if end < 0 || l.text[1+end] == '\n' {
				l.text = "\x00" + l.text[1:] // no token at all
				continue
			}
			t := l.text[:end+2]
			l.text = l.text[end+2:]
			return t
		default:
			n := 0
			for n < len(l.text) && isRadvdWord(l.text[n]) {
				n++
			}
			n = max(n, 1)
			t := l.text[:n]
			l.text = l.text[n:]
			return t
		}
	}
	return ""
}

func isRadvdWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("`~!@#$%^&*()_-+=:[]<>,.?\\", c) >= 0
}

type radvdParser struct {
	lexer
	file string
	now  time.Time
	prev string
	held bool
}

func (p *radvdParser) errorf(format string, args ...any) *RadvdError {
	return &RadvdError{File: p.file, Line: p.line, Reason: fmt.Sprintf(format, args...)}
}

// fail leaves the parser; ParseRadvd catches it.
func (p *radvdParser) fail(format string, args ...any) { panic(p.errorf(format, args...)) }

// token returns the next one, or the one that was put back.
func (p *radvdParser) token() string {
	if p.held {
		p.held = false
		return p.prev
	}
	p.prev = p.next()
	return p.prev
}

func (p *radvdParser) back() { p.held = true }

func (p *radvdParser) expect(want string) {
	if got := p.token(); got != want {
		p.fail("want %q, not %s", want, shown(got))
	}
}

func shown(token string) string {
	if token == "" {
		return "the end of the file"
	}
	return strconv.Quote(token)
}

func (p *radvdParser) interfaces() []Config {
	var list []Config
	seen := make(map[string]int)
	for {
		switch t := p.token(); t {
		case "":
			if len(seen) == 0 {
				p.fail("the file has no interface")
			}
			return list
		case "interface":
			name := p.token()
			line := p.line
			if first, twice := seen[name]; twice {
				p.fail("interface %s is defined in line %d already", name, first)
			}
			v := validator{}
			if v.iface(name); v.first != nil {
				p.fail("%s", v.first.Reason)
			}
			seen[name] = line
			i := p.iface(name)
			if !i.send {
				continue
			}
			if err := i.cfg.Validate(); err != nil {
				panic(&RadvdError{File: p.file, Line: line, Reason: fmt.Sprintf("interface %s: %v", name, err)})
			}
			list = append(list, i.cfg)
		default:
			p.fail("want \"interface\", not %s", shown(t))
		}
	}
}

// radvdInterface is an interface while it is read.
type radvdInterface struct {
	cfg  Config
	send bool
	max  time.Duration // MaxRtrAdvInterval so far, as radvd's defaults depend on the order
}

func (p *radvdParser) iface(name string) radvdInterface {
	i := radvdInterface{cfg: Config{Interface: name}, max: defaultMaxInterval}
	p.expect("{")
	for {
		statement := p.token()
		switch statement {
		case "}":
			p.expect(";")
			return i
		case "prefix":
			p.prefix(&i)
		case "route":
			p.route(&i)
		case "RDNSS":
			p.rdnss(&i)
		case "DNSSL":
			p.dnssl(&i)
		case "nat64prefix":
			p.nat64(&i)
		case "clients", "lowpanco", "abro", "AdvRASrcAddress", "autoignoreprefixes":
			p.fail("%s is not supported", statement)
		default:
			p.value(&i, statement)
			p.expect(";")
		}
	}
}

// value reads one statement of an interface, up to its semicolon.
func (p *radvdParser) value(i *radvdInterface, statement string) {
	c := &i.cfg
	switch statement {
	case "AdvSendAdvert":
		i.send = p.toggle()
	case "IgnoreIfMissing":
		p.toggle()
	case "MaxRtrAdvInterval":
		i.max = p.interval()
		c.MaxInterval = i.max
	case "MinRtrAdvInterval":
		c.MinInterval = p.interval()
	case "MinDelayBetweenRAs":
		if d := p.interval(); d != minDelayBetween {
			p.fail("MinDelayBetweenRAs: it is always 3 seconds (RFC 4861, section 10), not %s", d)
		}
	case "AdvManagedFlag":
		c.Managed = p.toggle()
	case "AdvOtherConfigFlag":
		c.Other = p.toggle()
	case "AdvLinkMTU":
		c.MTU = int(p.number(1<<31 - 1))
	case "AdvReachableTime":
		c.ReachableTime = time.Duration(p.number(math.MaxUint32)) * time.Millisecond
	case "AdvRetransTimer":
		c.RetransTimer = time.Duration(p.number(math.MaxUint32)) * time.Millisecond
	case "AdvCurHopLimit":
		if c.HopLimit = int(p.number(255)); c.HopLimit == 0 {
			c.HopLimit = -1
		}
	case "AdvDefaultLifetime":
		c.RouterLifetime = explicit(time.Duration(p.number(math.MaxUint32)) * time.Second)
	case "AdvDefaultPreference":
		c.Preference = p.preference()
	case "AdvSourceLLAddress":
		c.NoSourceLLA = !p.toggle()
	case "AdvCaptivePortalAPI":
		c.CaptivePortal = strings.Trim(p.token(), `"`)
	case "AdvRASolicitedUnicast":
		if !p.toggle() {
			p.fail("%s off is not supported: solicitations are answered by unicast (RFC 7772)", statement)
		}
	case "UnicastOnly", "AdvHomeAgentFlag", "AdvHomeAgentInfo", "AdvIntervalOpt", "AdvMobRtrSupportFlag", "AdvSNACRouterFlag":
		if p.toggle() {
			p.fail("%s is not supported", statement)
		}
	case "HomeAgentPreference", "HomeAgentLifetime", "AdvRAMTU":
		p.fail("%s is not supported", statement)
	default:
		p.fail("no statement of an interface is called %s", shown(statement))
	}
}

// block reads the statements in braces after prefix, route and the like, which
// some may leave out, and the semicolon.
func (p *radvdParser) block(optional bool, fn func(statement string)) {
	t := p.token()
	if optional && t == ";" {
		return
	}
	p.back()
	p.expect("{")
	for {
		statement := p.token()
		if statement == "}" {
			p.expect(";")
			return
		}
		fn(statement)
		p.expect(";")
	}
}

func (p *radvdParser) prefix(i *radvdInterface) {
	prefix := p.cidr()
	line := p.line
	if prefix.Addr().IsUnspecified() {
		p.fail("prefix %s asks for the interface's own prefixes, which is not supported: name the prefix", prefix)
	}
	// defaults.h of radvd 2.19.
	v := Prefix{Prefix: prefix, Valid: 86400 * time.Second, Preferred: 14400 * time.Second}
	count := false
	p.block(true, func(statement string) {
		switch statement {
		case "AdvOnLink":
			v.OffLink = !p.toggle()
		case "AdvAutonomous":
			v.NoSLAAC = !p.toggle()
		case "AdvValidLifetime":
			v.Valid = p.lifetime()
		case "AdvPreferredLifetime":
			v.Preferred = p.lifetime()
		case "DeprecatePrefix":
			p.toggle()
		case "DecrementLifetimes":
			count = p.toggle()
		case "AdvRouterAddr":
			if p.toggle() {
				p.fail("AdvRouterAddr is not supported")
			}
		case "Base6Interface", "Base6to4Interface":
			p.fail("%s is not supported: name the prefix", statement)
		default:
			p.fail("no statement of a prefix is called %s", shown(statement))
		}
	})
	if v.Preferred > v.Valid {
		panic(&RadvdError{p.file, line, fmt.Sprintf("prefix %s: AdvPreferredLifetime is longer than AdvValidLifetime", prefix)})
	}
	if !v.NoSLAAC && prefix.Bits() != 64 {
		panic(&RadvdError{p.file, line, fmt.Sprintf("prefix %s: hosts make addresses only from a /64; say AdvAutonomous off", prefix)})
	}
	if count {
		v.PreferredUntil, v.ValidUntil = p.now.Add(v.Preferred).Truncate(time.Second), p.now.Add(v.Valid).Truncate(time.Second)
	}
	v.Valid, v.Preferred = explicit(v.Valid), explicit(v.Preferred)
	i.cfg.Prefixes = append(i.cfg.Prefixes, v)
}

func (p *radvdParser) route(i *radvdInterface) {
	v := Route{Prefix: p.cidr(), Lifetime: wholeSeconds(3 * i.max)}
	p.block(false, func(statement string) {
		switch statement {
		case "AdvRoutePreference":
			v.Preference = p.preference()
		case "AdvRouteLifetime":
			v.Lifetime = p.lifetime()
		case "RemoveRoute":
			p.takenBack(statement)
		default:
			p.fail("no statement of a route is called %s", shown(statement))
		}
	})
	v.Lifetime = explicit(v.Lifetime)
	i.cfg.Routes = append(i.cfg.Routes, v)
}

func (p *radvdParser) rdnss(i *radvdInterface) {
	v := RDNSS{Lifetime: wholeSeconds(i.max)}
	for t := p.token(); t != "{"; t = p.token() {
		a, err := netip.ParseAddr(t)
		if err != nil || !a.Is6() || a.Zone() != "" {
			p.fail("RDNSS: want IPv6 addresses and then {, not %s", shown(t))
		}
		if v.Servers = append(v.Servers, a); len(v.Servers) > 3 {
			p.fail("RDNSS: radvd takes three addresses in one block")
		}
	}
	if len(v.Servers) == 0 {
		p.fail("RDNSS: names no server")
	}
	p.back()
	p.block(false, func(statement string) {
		switch statement {
		case "AdvRDNSSLifetime":
			v.Lifetime = p.lifetime()
		case "AdvRDNSSPreference":
			p.number(math.MaxUint32)
		case "AdvRDNSSOpen":
			p.toggle()
		case "FlushRDNSS":
			p.takenBack(statement)
		default:
			p.fail("no statement of RDNSS is called %s", shown(statement))
		}
	})
	v.Lifetime = explicit(v.Lifetime)
	i.cfg.RDNSS = append(i.cfg.RDNSS, v)
}

func (p *radvdParser) dnssl(i *radvdInterface) {
	v := DNSSL{Lifetime: wholeSeconds(i.max)}
	for t := p.token(); t != "{"; t = p.token() {
		why := badDomain(t)
		if strings.Contains(t, "_") {
			why = "has an underscore, which radvd refuses"
		}
		if why != "" {
			p.fail("DNSSL: %s %s", shown(t), why)
		}
		v.Domains = append(v.Domains, t)
	}
	if len(v.Domains) == 0 {
		p.fail("DNSSL: names no domain")
	}
	p.back()
	p.block(false, func(statement string) {
		switch statement {
		case "AdvDNSSLLifetime":
			// radvd raises what is shorter.
			if v.Lifetime = p.lifetime(); v.Lifetime != 0 {
				v.Lifetime = max(v.Lifetime, wholeSeconds(i.max))
			}
		case "FlushDNSSL":
			p.takenBack(statement)
		default:
			p.fail("no statement of DNSSL is called %s", shown(statement))
		}
	})
	v.Lifetime = explicit(v.Lifetime)
	i.cfg.DNSSL = append(i.cfg.DNSSL, v)
}

func (p *radvdParser) nat64(i *radvdInterface) {
	// The default is radvd 2.20's: as long as the router, within the option.
	v := PREF64{Prefix: p.cidr(), Lifetime: min(wholeSeconds(3*i.max), longestPREF64)}
	p.block(true, func(statement string) {
		switch statement {
		case "AdvValidLifetime":
			v.Lifetime = p.lifetime()
		default:
			p.fail("no statement of nat64prefix is called %s", shown(statement))
		}
	})
	v.Lifetime = explicit(v.Lifetime)
	i.cfg.PREF64 = append(i.cfg.PREF64, v)
}

func (p *radvdParser) takenBack(statement string) {
	if !p.toggle() {
		p.fail("%s off is not supported: all is taken back at the end", statement)
	}
}

func (p *radvdParser) toggle() bool {
	switch t := p.token(); t {
	case "on":
		return true
	case "off":
	default:
		p.fail("want on or off, not %s", shown(t))
	}
	return false
}

func (p *radvdParser) number(most uint64) uint64 {
	t := p.token()
	n, err := strconv.ParseUint(t, 10, 32)
	if err != nil || n > most {
		p.fail("want a number up to %d, not %s", most, shown(t))
	}
	return n
}

// interval reads seconds, which may have a fraction.
func (p *radvdParser) interval() time.Duration {
	t := p.token()
	if strings.Trim(t, "0123456789.") == "" && strings.Count(t, ".") <= 1 {
		if s, err := strconv.ParseFloat(t, 64); err == nil && s < math.MaxUint32 && !strings.HasPrefix(t, ".") && !strings.HasSuffix(t, ".") {
			return time.Duration(s * float64(time.Second))
		}
	}
	p.fail("want seconds, not %s", shown(t))
	return 0
}

func (p *radvdParser) lifetime() time.Duration {
	if p.token() == "infinity" {
		return Infinity
	}
	p.back()
	return time.Duration(p.number(math.MaxUint32)) * time.Second
}

func (p *radvdParser) preference() Preference {
	switch t := p.token(); t {
	case "low", "-1":
		return Low
	case "medium", "0":
		return Medium
	case "high", "1":
		return High
	default:
		p.fail("want low, medium or high, not %s", shown(t))
		return Medium
	}
}

// cidr reads a prefix, whose further bits radvd sends and hosts ignore.
func (p *radvdParser) cidr() netip.Prefix {
	t := p.token()
	a, err := netip.ParseAddr(t)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		p.fail("want an IPv6 prefix, not %s", shown(t))
	}
	p.expect("/")
	return netip.PrefixFrom(a, int(p.number(128))).Masked()
}

// explicit is a lifetime of zero where zero would ask for the default.
func explicit(d time.Duration) time.Duration {
	if d == 0 {
		return Zero
	}
	return d
}

func wholeSeconds(d time.Duration) time.Duration { return d.Truncate(time.Second) }
