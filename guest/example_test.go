package guest_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/slaac"
)

func Example() {
	web := guest.Guest{Name: "web", MemoryMiB: 2048, Disks: []guest.Disk{{Path: "/var/lib/libvirt/images/web.qcow2"}}}
	prefix := netip.MustParsePrefix("2001:db8:1:3::/64")
	addr, err := web.Addr(prefix)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(web.LinkAddr(), addr)
	records, err := web.Records("example.com", prefix)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(guest.Text(records))
	// Output:
	// 52:54:00:b0:72:7b 2001:db8:1:3:5054:ff:feb0:727b
	// web.example.com.	300	IN	AAAA	2001:db8:1:3:5054:ff:feb0:727b
	// b.7.2.7.0.b.e.f.f.f.0.0.4.5.0.5.3.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.	300	IN	PTR	web.example.com.
}

func ExampleValidate() {
	nic := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	warnings, err := guest.Validate([]guest.Guest{
		{Name: "web"},
		{Name: "mail", MAC: slaac.MAC{0x00, 0x16, 0x3e, 0x01, 0x02, 0x03}},
	}, nic)
	fmt.Println(warnings, err)
	_, err = guest.Validate([]guest.Guest{{Name: "web", MAC: nic}}, nic)
	fmt.Println(err)
	// Output:
	// [guest mail: MAC 00:16:3e:01:02:03 is universally administered and may be the address of a real card] <nil>
	// guest "web": MAC: 90:1b:0e:12:34:56 is that of the host's NIC
}

func ExampleReverseName() {
	fmt.Println(guest.ReverseName(netip.MustParseAddr("2001:db8::1")))
	fmt.Println(guest.ReverseName(netip.MustParseAddr("192.0.2.1")))
	// Output:
	// 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.
	// 1.2.0.192.in-addr.arpa.
}
