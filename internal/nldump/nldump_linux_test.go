package nldump

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestRetry(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		name  string
		errs  []error // of one attempt after the other, the last of all further ones
		tries int
		want  error
	}{
		{"at once", []error{nil}, 1, nil},
		{"changed twice", []error{netlink.ErrDumpInterrupted, unix.EINTR, nil}, 3, nil},
		{"refused", []error{refused}, 1, refused},
		{"never still", []error{netlink.ErrDumpInterrupted}, attempts, netlink.ErrDumpInterrupted},
	} {
		tries := 0
		got, err := Retry(func() (int, error) {
			tries++
			return tries, tt.errs[min(tries, len(tt.errs))-1]
		})
		if !errors.Is(err, tt.want) || tries != tt.tries || got != tries {
			t.Errorf("%s: %d and %v after %d tries", tt.name, got, err, tries)
		}
	}
}
