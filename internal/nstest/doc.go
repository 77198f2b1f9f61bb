// Package nstest helps tests that touch the kernel: a user namespace where the
// tests don't run as root, network namespaces of their own, Debian tools.
package nstest
