// Package proto is what the agent in a virtual machine and the test outside
// say to each other: one JSON value after the other.
package proto

// Port is the name of the virtio serial port they use.
const Port = "agent"

// Command is for the machine's shell.
type Command struct {
	ID    int    `json:"id"`
	Shell string `json:"shell"`
}

// Hello is the ID of the agent's first words after it has started.
const Hello = 0

// Answer is what became of a command.
type Answer struct {
	ID     int    `json:"id"`
	Status int    `json:"status"`
	Output string `json:"output"` // of both outputs
}
