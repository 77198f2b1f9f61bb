package main

import (
	"bytes"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/slaac"
)

func TestGuestWatchTellsChanges(t *testing.T) {
	var out bytes.Buffer
	h := inventoryHost(t, guestConfig{Name: "web"})
	h.config.StateDir = t.TempDir()
	h = h.recalled()
	w := newGuestWatch(h, slog.New(slog.NewTextHandler(&out, nil)))
	var told []host
	w.followers = []follower{followerFunc(func(h host) {
		// Whoever is told and reads the host again finds the same.
		if again := h.recalled(); !reflect.DeepEqual(again, h) {
			t.Errorf("told of %v, and the file has %v", h.guests, again.guests)
		}
		told = append(told, h)
	})}
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
		before := len(told)
		w.update(libvirtguests.State{Bridge: "br0", Domains: s.domains})
		if got := out.String(); !strings.Contains(got, s.want) || (s.want == "") != (got == "") || (len(told) > before) != (s.want != "") {
			t.Errorf("want %q, got %q, told %d times", s.want, got, len(told)-before)
		}
	}
}

type followerFunc func(h host)

func (f followerFunc) follow(h host) { f(h) }

// A guest that is silent for long is told of once, and again after it has
// answered; one that starts is given its time.
func TestGuestWatchTellsSilence(t *testing.T) {
	var out bytes.Buffer
	h := inventoryHost(t, guestConfig{Name: "web"}, guestConfig{Name: "mail"})
	w := newGuestWatch(h, slog.New(slog.NewTextHandler(&out, nil)))
	web, mail := w.list[:1], w.list[1:]
	looks := func(n int, quiet []inventoryGuest) int {
		out.Reset()
		for range n {
			w.hush(quiet)
		}
		return strings.Count(out.String(), "does not answer at the address known in advance")
	}
	for i, s := range []struct {
		looks int
		quiet []inventoryGuest
		told  int
	}{
		{quietLooks - 1, web, 0}, {1, mail, 0}, {quietLooks - 1, web, 0}, {1, web, 1}, {100, web, 0}, {1, nil, 0}, {quietLooks, w.list, 2},
	} {
		if got := looks(s.looks, s.quiet); got != s.told {
			t.Errorf("step %d: told %d times, want %d:\n%s", i, got, s.told, out.String())
		}
	}
}
