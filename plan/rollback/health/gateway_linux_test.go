package health

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAskEndsWhereNothingIsTaken: a socket that can't send, as the queue behind
// it is full, must not hold the check up beyond its time.
func TestAskEndsWhereNothingIsTaken(t *testing.T) {
	socket := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	deaf := socket()
	defer unix.Close(deaf)
	to := &unix.SockaddrUnix{Name: filepath.Join(t.TempDir(), "deaf")}
	if err := unix.Bind(deaf, to); err != nil {
		t.Fatal(err)
	}
	fd := socket()
	var err error
	for err == nil {
		err = unix.Sendto(fd, []byte{1}, 0, to)
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	q := question{f: os.NewFile(uintptr(fd), "question"), packet: []byte{1}, to: to, answers: func(_, _ []byte) bool { return false }}
	defer q.f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	asked := make(chan error, 1)
	go func() { asked <- q.ask(ctx) }()
	select {
	case err := <-asked:
		if err == nil || err.Error() != "no answer" {
			t.Errorf("%v, want no answer", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still asking after 10 s")
	}
}
