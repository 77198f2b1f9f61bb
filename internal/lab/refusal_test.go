package lab

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestForbiddenSentences(t *testing.T) {
	kernel := errors.New("operation not permitted")
	for _, tt := range []struct {
		name     string
		root     bool
		noKernel bool
		settings map[string]string
		want     []string // all are in the sentence
		not      string
	}{
		{name: "Debian's switch", settings: map[string]string{"kernel/unprivileged_userns_clone": "0"},
			want: []string{"sysctl -w kernel.unprivileged_userns_clone=1", "run as root"}},
		{name: "AppArmor", settings: map[string]string{"kernel/unprivileged_userns_clone": "1", "kernel/apparmor_restrict_unprivileged_userns": "1"},
			want: []string{"sysctl -w kernel.apparmor_restrict_unprivileged_userns=0", "run as root"}},
		{name: "no user namespaces allowed", settings: map[string]string{"user/max_user_namespaces": "0"},
			want: []string{"sysctl -w user.max_user_namespaces=1000", "run as root"}},
		{name: "no network namespaces allowed, even to root", root: true, settings: map[string]string{"user/max_net_namespaces": "0"},
			want: []string{"sysctl -w user.max_net_namespaces=1000", "no net namespaces"}, not: "run as root"},
		{name: "container's root", root: true, settings: map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"},
			want: []string{"CAP_SYS_ADMIN", kernel.Error()}},
		{name: "old kernel", noKernel: true, want: []string{"no user namespaces", "run as root"}},
		{name: "nothing known", want: []string{"security policy", "run as root", kernel.Error()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := forbidden(kernel, tt.root, tt.noKernel, func(key string) (string, error) {
				if v, ok := tt.settings[key]; ok {
					return v, nil
				}
				return "", fs.ErrNotExist
			})
			if !errors.Is(r, ErrForbidden) || !errors.Is(r, kernel) {
				t.Errorf("%v matches neither reason nor cause", r)
			}
			for _, w := range tt.want {
				if !strings.Contains(r.Sentence, w) {
					t.Errorf("%q does not say %q", r.Sentence, w)
				}
			}
			if tt.not != "" && strings.Contains(r.Sentence, tt.not) {
				t.Errorf("%q says %q", r.Sentence, tt.not)
			}
			if strings.Contains(r.Sentence, "\n") || strings.Contains(r.Sentence, ". ") {
				t.Errorf("%q is not one sentence", r.Sentence)
			}
		})
	}
}

func TestEnterLine(t *testing.T) {
	for _, tt := range []struct {
		k    KeepInfo
		node string
		want string
	}{
		{KeepInfo{PID: 42}, Server, "nsenter -t 42 -m -p -i -u --net=/proc/42/root/run/netns/server"},
		{KeepInfo{PID: 42, User: true}, "guest1", "nsenter -t 42 -U --preserve-credentials -m -p -i -u --net=/proc/42/root/run/netns/guest1"},
		{KeepInfo{PID: 42}, "", "nsenter -t 42 -m -p -i -u -n"},
	} {
		if got := tt.k.EnterLine(tt.node); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
