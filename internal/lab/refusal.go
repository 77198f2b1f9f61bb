package lab

import (
	"fmt"
	"strings"
)

// namespaceLimits are the kernel's limits, in the order a lab meets them.
func namespaceLimits() []string {
	return []string{
		"user/max_user_namespaces", "user/max_net_namespaces", "user/max_pid_namespaces",
		"user/max_mnt_namespaces", "user/max_ipc_namespaces", "user/max_uts_namespaces",
	}
}

// forbidden explains why making namespaces failed with cause. setting reads a
// kernel parameter by its path below /proc/sys; noKernel tells that the kernel
// said it knows no such namespace.
func forbidden(cause error, root, noKernel bool, setting func(key string) (string, error)) *Refusal {
	r := &Refusal{Err: ErrForbidden, Cause: cause}
	is := func(key, value string) bool {
		got, err := setting(key)
		return err == nil && strings.TrimSpace(got) == value
	}
	allow := func(key, value string) string {
		name := strings.ReplaceAll(key, "/", ".")
		return fmt.Sprintf("allow it with `sysctl -w %s=%s`", name, value)
	}
	orRoot := "run as root, or "
	if root {
		orRoot = ""
	}
	for _, key := range namespaceLimits() {
		if is(key, "0") {
			what := strings.TrimSuffix(strings.TrimPrefix(key, "user/max_"), "_namespaces")
			r.Sentence = fmt.Sprintf("this kernel is set to allow no %s namespaces: %s", what, allow(key, "1000"))
			if what == "user" {
				r.Sentence = fmt.Sprintf("this kernel is set to allow no user namespaces: %s%s", orRoot, allow(key, "1000"))
			}
			return r
		}
	}
	switch {
	case root:
		r.Sentence = fmt.Sprintf("root of this container may not make namespaces (%v): start the container with CAP_SYS_ADMIN, or run outside of it", cause)
	case is("kernel/unprivileged_userns_clone", "0"):
		r.Sentence = "user namespaces are switched off for users who are not root: " + orRoot + allow("kernel/unprivileged_userns_clone", "1")
	case is("kernel/apparmor_restrict_unprivileged_userns", "1"):
		r.Sentence = "AppArmor forbids user namespaces to users who are not root: " + orRoot + allow("kernel/apparmor_restrict_unprivileged_userns", "0")
	case noKernel:
		r.Sentence = fmt.Sprintf("this kernel has no user namespaces (%v): run as root", cause)
	default:
		r.Sentence = fmt.Sprintf("a security policy forbids making namespaces (%v): run as root", cause)
	}
	return r
}
