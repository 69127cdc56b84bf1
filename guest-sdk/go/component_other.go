//go:build !wasip1

package sandbus

const isComponent = false
