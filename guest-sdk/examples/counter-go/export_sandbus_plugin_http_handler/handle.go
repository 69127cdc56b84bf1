// The world has routes, and this plugin has none.
package export_sandbus_plugin_http_handler

import (
	. "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/sandbus_plugin_http_handler"
)

func Handle(Request) Result[Response, Response] {
	return Ok[Response, Response](Response{Status: 404})
}
