package libvirtguests

import (
	"encoding/xml"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// MetadataURI is the namespace of our element in a domain's metadata, where
// whoever makes a domain by other means says what host.yaml would:
//
//	virsh metadata NAME --uri https://github.com/sixhost/sixhost --key sixhost \
//		--set '<guest><serve>www.example.com</serve></guest>' --config --live
const MetadataURI = "https://github.com/sixhost/sixhost"

// served reads the names from a domain's metadata. What is no XML has none: it
// is nobody's business here what others keep there.
func served(m *libvirtxml.DomainMetadata) (names []string) {
	if m == nil {
		return nil
	}
	dec := xml.NewDecoder(strings.NewReader(m.XML))
	depth, ours, text := 0, 0, ""
	for {
		token, err := dec.Token()
		if err != nil {
			return names
		}
		switch e := token.(type) {
		case xml.StartElement:
			depth++
			text = ""
			if depth == 1 && e.Name.Space == MetadataURI && e.Name.Local == "guest" {
				ours = depth
			}
		case xml.CharData:
			text += string(e)
		case xml.EndElement:
			if name := strings.TrimSpace(text); ours == 1 && depth == 2 && e.Name.Local == "serve" && name != "" {
				names = append(names, name)
			}
			if depth == ours {
				ours = 0
			}
			depth--
			text = ""
		}
	}
}
