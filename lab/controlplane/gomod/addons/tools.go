//go:build tools

// Package tools keeps the program that is built from this module in go.mod. It is never compiled.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
