package main

import (
	"io"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		args     string
		want     string // in what is printed
		warnings int
		err      string // in the error
	}{
		{"web", `<mac address="52:54:00:b0:72:7b">`, 0, ""},
		{"-disk /a.qcow2 -disk /dev/vg/b -bridge br7 -memory 64 -vcpus 2 web", `<source dev="/dev/vg/b">`, 0, ""},
		{"-emulate web", `<domain type="qemu">`, 0, ""},
		{"-mac 00:16:3e:00:00:01 web", `<mac address="00:16:3e:00:00:01">`, 1, ""},
		{"-dns -domain example.com -prefix 2001:db8:1:3::/64 web", "web.example.com.\t300\tIN\tAAAA\t2001:db8:1:3:5054:ff:feb0:727b\n", 0, ""},
		{"-dns -domain example.com -prefix 2001:db8::/48 web", "", 0, "prefix"},
		{"-dns -prefix 2001:db8:1:3::/64 web", "", 0, "domain: is required"},
		{"-disk a web", "", 0, "is not absolute"},
		{"Web", "", 0, `did you mean "web"?`},
		{"", "", 0, "want one name"},
		{"-nonsense web", "", 0, "nonsense"},
	} {
		out, warnings, err := run(strings.Fields(tt.args), io.Discard)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || out != "" {
				t.Errorf("%s: got %q, %v", tt.args, out, err)
			}
			continue
		}
		if err != nil || !strings.Contains(out, tt.want) || len(warnings) != tt.warnings {
			t.Errorf("%s: got %q, %v, %v", tt.args, out, warnings, err)
		}
	}
}
