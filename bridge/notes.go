package bridge

import "fmt"

// notes are what the operator should know of the way to a wanted state. The way
// back needs no comment.
func notes(from, to State) []string {
	if !to.At.IsZero() {
		return nil
	}
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, r := range to.Rules {
		if r.Iif == to.Bridge && moving(from, to) {
			add("the routing rule %q will be about guests' packets too, as these come in through %s as well", r, to.Bridge)
		}
	}
	return list
}
