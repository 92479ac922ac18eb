// Package conformance names what `go test -c` builds, so that the module file has what the test program needs.
package conformance

import _ "k8s.io/kubernetes/test/e2e"
