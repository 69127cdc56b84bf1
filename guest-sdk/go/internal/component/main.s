// This file lets exports.go declare a function without a body.
