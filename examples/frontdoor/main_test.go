package main

import (
	"bytes"
	"context"
	"testing"
)

func TestBadUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "frontdoor: proxy: listen: no address to listen on\n"},
		{[]string{"-http", "127.0.0.1:80"}, "frontdoor: proxy: routes: no name leads to a guest\n"},
		{[]string{"-http", "127.0.0.1:80", "www.example.com"}, "frontdoor: \"www.example.com\" is not of the form name=address\n"},
	} {
		var errOut bytes.Buffer
		if status := run(context.Background(), tt.args, &errOut); status != 2 || errOut.String() != tt.want {
			t.Errorf("%q: status %d, %q, want 2, %q", tt.args, status, errOut.String(), tt.want)
		}
	}
}
