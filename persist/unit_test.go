package persist

import (
	"strings"
	"testing"
)

// The service must be able to take back a change that was cut off, wherever that
// is kept.
func TestUnitLetsWriteState(t *testing.T) {
	for _, tt := range []struct {
		dir  string
		want []string
	}{
		{"", nil},
		{"/run/sixhost/", nil},
		{"/var/lib/sixhost", []string{"ExecStartPre=+/bin/mkdir -p -m 0700 \"/var/lib/sixhost\"\n", "ReadWritePaths=\"/var/lib/sixhost\"\n"}},
		{"/srv/a $b%c", []string{"ExecStartPre=+/bin/mkdir -p -m 0700 \"/srv/a $$b%%c\"\n", "ReadWritePaths=\"/srv/a $b%%c\"\n"}},
	} {
		unit, err := Config{Executable: "/bin/fullhost", StateDir: tt.dir}.unit()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range tt.want {
			if !strings.Contains(string(unit), w) {
				t.Errorf("%q: no %q in\n%s", tt.dir, w, unit)
			}
		}
		if got := strings.Count(string(unit), "ReadWritePaths="); got != 1+len(tt.want)/2 {
			t.Errorf("%q: %d lists of writable paths", tt.dir, got)
		}
	}
}
