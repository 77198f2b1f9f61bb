package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/slaac"
)

func TestGuestWatchTellsChanges(t *testing.T) {
	var out bytes.Buffer
	h := inventoryHost(t, guestConfig{Name: "web"})
	w := newGuestWatch(h, slog.New(slog.NewTextHandler(&out, nil)))
	handed := 0
	w.changed = func(_ context.Context, list []inventoryGuest) { handed++ }
	web := libvirtguests.Domain{Name: "web", NICs: []libvirtguests.NIC{{MAC: slaac.GuestMAC("web"), Port: "g-web"}}}
	other := libvirtguests.Domain{Name: "other", NICs: []libvirtguests.NIC{{MAC: slaac.MAC{0x52, 0x54, 0, 1, 2, 3}, Port: "vnet0"}}, Running: true}
	running := web
	running.Running = true
	for _, s := range []struct {
		domains []libvirtguests.Domain
		want    string // "" for not a word
	}{
		{nil, ""},
		{[]libvirtguests.Domain{web}, `msg="a guest is defined" guest=web`},
		{[]libvirtguests.Domain{running}, `msg="a guest has started" guest=web`},
		{[]libvirtguests.Domain{running}, ""},
		{[]libvirtguests.Domain{running, other}, `msg="a guest has started" guest=other`},
		{[]libvirtguests.Domain{running}, `msg="a guest is no longer defined" guest=other`},
		{[]libvirtguests.Domain{web}, `msg="a guest has stopped" guest=web`},
		{nil, `msg="a guest is no longer defined" guest=web`},
	} {
		out.Reset()
		before := handed
		w.update(t.Context(), h.inventory(libvirtguests.State{Domains: s.domains}))
		told := handed != before
		if got := out.String(); !strings.Contains(got, s.want) || (s.want == "") != (got == "") || told != (s.want != "") {
			t.Errorf("want %q, got %q, handed on: %v", s.want, got, told)
		}
	}
}
