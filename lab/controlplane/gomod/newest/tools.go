//go:build tools

// Package tools keeps the program that is built from this module in go.mod. It is never compiled.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
