// Command agent runs in a test's virtual machine. Without arguments it takes
// commands from the test outside. As "agent guest BRIDGE MAC FILE" it is a guest
// on a bridge: see guest.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/sixhost/sixhost/internal/vm/agent/proto"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 1:
		err = serve()
	case len(os.Args) == 5 && os.Args[1] == "guest":
		err = guest(os.Args[2], os.Args[3], os.Args[4])
	default:
		err = errors.New("usage: agent [guest BRIDGE MAC FILE]")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "agent: %v\n", err)
		os.Exit(1)
	}
}

// serve runs commands side by side until the machine ends.
func serve() error {
	var f *os.File
	for {
		var err error
		if f, err = os.OpenFile("/dev/virtio-ports/"+proto.Port, os.O_RDWR, 0); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// udev gets round to it.
		time.Sleep(20 * time.Millisecond)
	}
	var mu sync.Mutex
	say := func(a proto.Answer) error {
		mu.Lock()
		defer mu.Unlock()
		return json.NewEncoder(f).Encode(a)
	}
	if err := say(proto.Answer{ID: proto.Hello}); err != nil {
		return err
	}
	for d := json.NewDecoder(f); ; {
		var c proto.Command
		if err := d.Decode(&c); err != nil {
			return err
		}
		go func() {
			cmd := exec.Command("/bin/sh", "-c", c.Shell)
			// What the command starts and leaves behind must not hold it open.
			out, err := os.CreateTemp("", "agent-")
			if err != nil {
				say(proto.Answer{ID: c.ID, Status: -1, Output: err.Error()})
				return
			}
			defer os.Remove(out.Name())
			defer out.Close()
			cmd.Stdout, cmd.Stderr = out, out
			a := proto.Answer{ID: c.ID}
			if err := cmd.Run(); err != nil {
				a.Status = -1
				if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
					a.Status = exit.ExitCode()
				}
			}
			b, err := os.ReadFile(out.Name())
			if err != nil {
				a.Status = -1
			}
			a.Output = string(b)
			say(a)
		}()
	}
}
