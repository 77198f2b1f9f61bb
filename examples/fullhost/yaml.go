package main

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sixhost/sixhost/plan"
)

// decodeStrict reads one YAML document into a struct, field by field, so that
// whatever is wrong is reported as one sentence with the file, the line and
// the key: an unknown key, a key given twice, a value of the wrong form.
//
// Struct fields carry `yaml:"key"` tags; leaves are strings, bools, ints,
// durations and types that implement encoding.TextUnmarshaler.
func decodeStrict(name string, r io.Reader, into any) error {
	d := strictDecoder{name: name}
	var doc yaml.Node
	switch err := yaml.NewDecoder(r).Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // an empty file asks for nothing special
	case err != nil:
		// The parser's own sentence names the line.
		return &plan.Refusal{Subject: name, Reason: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	return d.value(doc.Content[0], "", reflect.ValueOf(into).Elem())
}

type strictDecoder struct {
	name string
}

func (d strictDecoder) refuse(n *yaml.Node, format string, args ...any) error {
	return &plan.Refusal{Subject: fmt.Sprintf("%s:%d", d.name, n.Line), Reason: fmt.Sprintf(format, args...)}
}

func (d strictDecoder) value(n *yaml.Node, key string, v reflect.Value) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil // a key without a value asks for the default
	}
	if _, isText := v.Addr().Interface().(encoding.TextUnmarshaler); isText {
		return d.scalar(n, key, v)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.mapping(n, key, v)
	case reflect.Slice:
		return d.sequence(n, key, v)
	default:
		return d.scalar(n, key, v)
	}
}

func (d strictDecoder) mapping(n *yaml.Node, key string, v reflect.Value) error {
	if n.Kind != yaml.MappingNode {
		if key == "" {
			return d.refuse(n, "want keys and values, like \"uplink: enp2s0\"")
		}
		return d.refuse(n, "%s: want keys and values below it", key)
	}
	known := make(map[string]reflect.Value)
	d.fields(v, known)
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		full := strings.TrimPrefix(key+"."+k.Value, ".")
		field, ok := known[k.Value]
		if !ok {
			return d.refuse(k, "unknown key %q%s", full, hint(k.Value, known))
		}
		if line, twice := seen[k.Value]; twice {
			return d.refuse(k, "key %q stands twice, first in line %d", full, line)
		}
		seen[k.Value] = k.Line
		if err := d.value(val, full, field); err != nil {
			return err
		}
	}
	return nil
}

// fields finds a struct's keys, those of embedded structs among them.
func (d strictDecoder) fields(v reflect.Value, known map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if tag := f.Tag.Get("yaml"); tag != "" {
			known[tag] = v.Field(i)
		} else if f.Anonymous {
			d.fields(v.Field(i), known)
		}
	}
}

func (d strictDecoder) sequence(n *yaml.Node, key string, v reflect.Value) error {
	if n.Kind != yaml.SequenceNode {
		return d.refuse(n, "%s: want a list", key)
	}
	for i, item := range n.Content {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(item, fmt.Sprintf("%s[%d]", key, i), e); err != nil {
			return err
		}
		v.Set(reflect.Append(v, e))
	}
	return nil
}

func (d strictDecoder) scalar(n *yaml.Node, key string, v reflect.Value) error {
	if n.Kind != yaml.ScalarNode {
		return d.refuse(n, "%s: want a single value", key)
	}
	switch p := v.Addr().Interface().(type) {
	case *netip.Prefix:
		if err := p.UnmarshalText([]byte(n.Value)); err != nil {
			return d.refuse(n, "%s: want an address and a length, like 2001:db8:1:3::/64, not %q", key, n.Value)
		}
	case encoding.TextUnmarshaler:
		if err := p.UnmarshalText([]byte(n.Value)); err != nil {
			return d.refuse(n, "%s: %v", key, err)
		}
	case *time.Duration:
		parsed, err := time.ParseDuration(n.Value)
		if err != nil || parsed <= 0 {
			return d.refuse(n, "%s: want a length of time above zero, like 120s, not %q", key, n.Value)
		}
		*p = parsed
	case *string:
		*p = n.Value
	case *bool:
		if err := n.Decode(p); err != nil {
			return d.refuse(n, "%s: want true or false, not %q", key, n.Value)
		}
	case *int:
		if err := n.Decode(p); err != nil {
			return d.refuse(n, "%s: want a whole number, not %q", key, n.Value)
		}
	default:
		return d.refuse(n, "%s: no way to read a %s", key, v.Type())
	}
	return nil
}

// hint names the known key that a mistyped one most likely meant.
func hint(got string, known map[string]reflect.Value) string {
	best, bestAt := "", 3
	for k := range known {
		if at := editDistance(got, k); at < bestAt || at == bestAt && at < 3 && k < best {
			best, bestAt = k, at
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance counts the insertions, deletions and substitutions between two
// words.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
