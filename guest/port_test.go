package guest

import (
	"errors"
	"strings"
	"testing"
)

func TestPort(t *testing.T) {
	for name, want := range map[string]string{
		"web":                   "g-web",
		"thirteen-long":         "g-thirteen-long",
		"fourteen--long":        "g_fourtee535ec6",
		strings.Repeat("a", 63): "g_aaaaaaa1752c0",
	} {
		if got := (Guest{Name: name}).Port(); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func FuzzPort(f *testing.F) {
	f.Add("web", "web2")
	f.Add("fourteen--long", "fourtee535ec6")
	f.Fuzz(func(t *testing.T, a, b string) {
		if badLabel(a) != "" || badLabel(b) != "" {
			return
		}
		pa, pb := Guest{Name: a}.Port(), Guest{Name: b}.Port()
		if !isInterfaceName(pa) {
			t.Errorf("%q gives %q", a, pa)
		}
		for _, of := range []string{"vnet", "vif", "macvtap", "macvlan"} {
			if strings.HasPrefix(pa, of) {
				t.Errorf("%q gives %q, which libvirt gives a number", a, pa)
			}
		}
		if a != b && pa == pb {
			// Only long names can collide, and then Validate says so.
			var ce *ConfigError
			if _, err := Validate([]Guest{{Name: a}, {Name: b}}, [6]byte{}); len(a) < 14 || !errors.As(err, &ce) {
				t.Errorf("%q and %q both give %q: %v", a, b, pa, err)
			}
		}
	})
}
