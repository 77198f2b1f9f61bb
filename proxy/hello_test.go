package proxy

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// clientHello returns what crypto/tls sends first.
func clientHello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	defer client.Close()
	cfg.InsecureSkipVerify = true
	go tls.Client(client, cfg).Handshake()
	server.SetDeadline(time.Now().Add(10 * time.Second))
	head := make([]byte, recordHeader)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	b := append(head, make([]byte, binary.BigEndian.Uint16(head[3:]))...)
	if _, err := io.ReadFull(server, b[recordHeader:]); err != nil {
		t.Fatal(err)
	}
	return b
}

// records cuts a message into handshake records of the given size.
func records(msg []byte, size int) []byte {
	var b []byte
	for len(msg) > 0 {
		n := min(size, len(msg))
		b = append(b, recordHandshake, 3, 1)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, msg[:n]...)
		msg = msg[n:]
	}
	return b
}

// extension encodes one.
func extension(kind uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

func sni(name string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(3+len(name)))
	b = append(b, nameTypeHost)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return extension(extensionServerName, append(b, name...))
}

// helloWith builds a ClientHello message by hand.
func helloWith(extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0)                // session ID
	body = append(body, 0, 2, 0x13, 0x01) // cipher suites
	body = append(body, 1, 0)             // compression
	if ext := bytes.Join(extensions, nil); extensions != nil {
		body = binary.BigEndian.AppendUint16(body, uint16(len(ext)))
		body = append(body, ext...)
	}
	return append([]byte{messageClientHello, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

// parse feeds bytes in pieces as long as cut says and returns the name.
func parse(received []byte, cut func(int) int) (string, error) {
	var h hello
	for n := 0; n < len(received); {
		n += min(max(1, cut(n)), len(received)-n)
		complete, err := h.next(received[:n])
		if err != nil {
			return "", err
		}
		if complete {
			return serverName(message(received[:n]))
		}
	}
	return "", io.ErrUnexpectedEOF
}

func whole(int) int  { return 1 << 30 }
func single(int) int { return 1 }

func TestServerName(t *testing.T) {
	grease := extension(0x4a4a, []byte{0})
	ech := extension(0xfe0d, bytes.Repeat([]byte{7}, 300))
	padding := func(n int) []byte { return extension(21, make([]byte, n)) }
	tests := []struct {
		name  string
		bytes []byte
		want  string
		alert byte // of the error; 255 for none, 0 for not TLS
	}{
		{"crypto/tls 1.3", clientHello(t, &tls.Config{ServerName: "www.example.com"}), "www.example.com", 255},
		{"crypto/tls 1.2", clientHello(t, &tls.Config{ServerName: "www.example.com", MaxVersion: tls.VersionTLS12}), "www.example.com", 255},
		{"crypto/tls without a name", clientHello(t, &tls.Config{}), "", 255},
		{"upper case", records(helloWith(sni("WWW.Example.COM")), maxRecord), "www.example.com", 255},
		{"final dot", records(helloWith(sni("www.example.com.")), maxRecord), "www.example.com", 255},
		{"GREASE and ECH around the outer name", records(helloWith(grease, ech, sni("outer.example"), grease), maxRecord), "outer.example", 255},
		{"no extensions", records(helloWith(), maxRecord), "", 255},
		{"records of one byte", records(helloWith(sni("a.example")), 1), "a.example", 255},
		{"records of three bytes", records(helloWith(sni("a.example")), 3), "a.example", 255},
		{"22 KB", records(helloWith(padding(22000), sni("a.example")), maxRecord), "a.example", 255},
		{"43 KB", records(helloWith(padding(43000), sni("a.example")), maxRecord), "a.example", 255},
		{"64 KiB", records(helloWith(padding(maxHello-200), sni("a.example")), maxRecord), "a.example", 255},
		{"more than 64 KiB", records(append([]byte{1, 1, 0, 0}, make([]byte, 1<<16)...), maxRecord), "", alertDecodeError},
		{"too many records", records(helloWith(padding(40000), sni("a.example")), 1), "", alertDecodeError},
		{"plain HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), "", 0},
		{"SSLv2", []byte{0x80, 0x2e, 1, 3, 1, 0, 3}, "", 0},
		{"alert in between", append(records(helloWith(sni("a.example"))[:9], 9), alertRecord(0)...), "", alertUnexpected},
		{"another message", records([]byte{2, 0, 0, 1, 0}, maxRecord), "", alertUnexpected},
		{"empty record", append([]byte{recordHandshake, 3, 1, 0, 0}, records(helloWith(), 99)...), "", alertUnexpected},
		{"record too long", []byte{recordHandshake, 3, 1, 0x40, 1}, "", alertRecordOverflow},
		{"two names", records(helloWith(extension(0, []byte{0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'})), maxRecord), "", alertDecodeError},
		{"two name extensions", records(helloWith(sni("a.example"), sni("b.example")), maxRecord), "", alertDecodeError},
		{"empty name list", records(helloWith(extension(0, []byte{0, 0})), maxRecord), "", alertDecodeError},
		{"empty name", records(helloWith(sni("")), maxRecord), "", alertDecodeError},
		{"name with NUL", records(helloWith(sni("a\x00.example")), maxRecord), "", alertDecodeError},
		{"name with a slash", records(helloWith(sni("../a")), maxRecord), "", alertDecodeError},
		{"name of 254", records(helloWith(sni(strings.Repeat("a.", 126)+"aa")), maxRecord), "", alertDecodeError},
		{"extension cut off", records(helloWith(sni("a.example")[:9]), maxRecord), "", alertDecodeError},
	}
	for _, tt := range tests {
		cuts := map[string]func(int) int{"at once": whole, "byte by byte": single}
		for how, cut := range cuts {
			got, err := parse(tt.bytes, cut)
			var he *helloError
			switch {
			case tt.alert == 255:
				if err != nil || got != tt.want {
					t.Errorf("%s, %s: got %q, %v, want %q", tt.name, how, got, err, tt.want)
				}
			case !errors.As(err, &he) || he.alert != tt.alert:
				t.Errorf("%s, %s: got %q, %v, want alert %d", tt.name, how, got, err, tt.alert)
			}
		}
	}
}

// TestHelloSplitAnywhere cuts a real hello in two records and two segments at
// every byte.
func TestHelloSplitAnywhere(t *testing.T) {
	b := clientHello(t, &tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}})
	msg := b[recordHeader:]
	for i := 1; i < len(msg); i++ {
		two := append(records(msg[:i], maxRecord), records(msg[i:], maxRecord)...)
		if got, err := parse(two, whole); err != nil || got != "www.example.com" {
			t.Fatalf("records cut at %d: %q, %v", i, got, err)
		}
	}
	for i := 1; i < len(b); i++ {
		cut := func(n int) int {
			if n == 0 {
				return i
			}
			return len(b)
		}
		if got, err := parse(b, cut); err != nil || got != "www.example.com" {
			t.Fatalf("segments cut at %d: %q, %v", i, got, err)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add(clientHello(f, &tls.Config{ServerName: "www.example.com"}), uint64(1))
	f.Add(records(helloWith(sni("a.example")), 2), uint64(2))
	f.Add(records(helloWith(extension(0xfe0d, make([]byte, 40)), sni("a.example")), 100), uint64(3))
	f.Add([]byte("GET / HTTP/1.1\r\n"), uint64(4))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		got, err := parse(b, whole)
		// However the bytes arrive, the outcome is the same, but that an error
		// may be told apart from more bytes to come only later.
		random := rand.New(rand.NewPCG(seed, 0))
		gotCut, errCut := parse(b, func(int) int { return 1 + random.IntN(9) })
		if got != gotCut || (err == nil) != (errCut == nil) {
			t.Fatalf("at once %q, %v; in pieces %q, %v", got, err, gotCut, errCut)
		}
		if err == nil && got != "" {
			if c, ok := canonicalHost(got); !ok || c != got {
				t.Fatalf("name %q is not canonical", got)
			}
		}
	})
}
