package lab

import (
	"bytes"
	"net/http/httptest"
	"testing"
)

func TestPages(t *testing.T) {
	if bytes.Equal(Page("a", PathSmall), Page("b", PathSmall)) || bytes.Equal(Page("a", PathSmall), Page("a", PathLarge)[:smallPage]) {
		t.Error("pages are alike")
	}
	for path, size := range map[string]int{PathSmall: smallPage, PathLarge: largePage} {
		w := httptest.NewRecorder()
		webServer("a").Handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if body := w.Body.Bytes(); w.Code != 200 || !bytes.Equal(body, Page("a", path)) || len(body) != size {
			t.Errorf("%s: status %d, %d bytes", path, w.Code, len(body))
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
