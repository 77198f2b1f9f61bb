package lab

import (
	"bytes"
	"io"
	"net/http/httptest"
	"testing"
)

func TestPages(t *testing.T) {
	if bytes.Equal(Page("a", PathSmall), Page("b", PathSmall)) || bytes.Equal(Page("a", PathSmall), Page("a", PathLarge)[:smallPage]) {
		t.Error("pages are alike")
	}
	s := httptest.NewServer(webServer("a").Handler)
	defer s.Close()
	for path, size := range map[string]int{PathSmall: smallPage, PathLarge: largePage} {
		r, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || !bytes.Equal(body, Page("a", path)) || len(body) != size {
			t.Errorf("%s: %d bytes, %v", path, len(body), err)
		}
	}
	if len(Page("a", "/other")) != 0 {
		t.Error("a page where there is none")
	}
}

func TestSelfSigned(t *testing.T) {
	c, err := selfSigned("guest1.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Leaf.VerifyHostname("guest1.example"); err != nil {
		t.Error(err)
	}
	if err := c.Leaf.CheckSignatureFrom(c.Leaf); err != nil {
		t.Error(err)
	}
}
