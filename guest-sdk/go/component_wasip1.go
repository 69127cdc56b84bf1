package sandbus

import _ "sandbus/internal/component" // the exports and imports of a component

const isComponent = true
